# The trainer, for a CPU or an NVIDIA GPU. Build from the repository's root:
#   docker build -f docker/trainer.Dockerfile .
# Torch comes with CUDA unless PIP_EXTRA_INDEX_URL names an index of CPU wheels.

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
COPY trainer trainer
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM base
# Before the code, so that changing it installs nothing again.
RUN --mount=type=bind,source=requirements/trainer.txt,target=/requirements.txt \
    python -m venv /opt/venv && pip install --no-cache-dir -r /requirements.txt
# A new volume takes its owner from the folder that it covers.
RUN useradd --uid 1000 --no-create-home --home-dir /srv app \
    && mkdir -p /srv/runs /srv/cache \
    && chown app:app /srv/runs /srv/cache
# The wheel holds no data service, but pyproject.toml gives it a command.
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install --no-cache-dir --no-deps /dist/*.whl && rm /opt/venv/bin/dataservice
USER app
WORKDIR /srv
ENV TRAINER_CACHE_DIR=/srv/cache
VOLUME ["/srv/runs", "/srv/cache"]
# Without arguments it trains; `docker run IMAGE --resume` goes on.
ENTRYPOINT ["trainer"]
CMD []
