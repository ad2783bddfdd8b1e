# The data service without torch. Build from the repository's root:
#   docker build -f docker/dataservice.Dockerfile .

FROM python:3.11-slim-bookworm AS base
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
# Other package indexes, for those who have one; both become part of the image's history.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL

# The code as a wheel, made apart so that setuptools and the sources stay out of the image.
FROM base AS wheel
RUN python -m venv /opt/venv && pip install --no-cache-dir "setuptools>=77"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY shards shards
COPY dataservice dataservice
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM base
# Before the code, so that changing it installs nothing again.
RUN --mount=type=bind,source=requirements/dataservice.txt,target=/requirements.txt \
    python -m venv /opt/venv && pip install --no-cache-dir -r /requirements.txt
# A new volume takes its owner from the folder that it covers.
RUN useradd --uid 1000 --no-create-home --home-dir /srv app \
    && mkdir -p /srv/data /srv/text \
    && chown app:app /srv/data
# The wheel holds no trainer, but pyproject.toml gives it a command.
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install --no-cache-dir --no-deps /dist/*.whl && rm /opt/venv/bin/trainer
USER app
WORKDIR /srv
ENV DATASERVICE_HOST=0.0.0.0 DATASERVICE_DATA_DIR=/srv/data
VOLUME /srv/data
EXPOSE 8000
ENTRYPOINT ["dataservice"]
CMD ["serve"]
