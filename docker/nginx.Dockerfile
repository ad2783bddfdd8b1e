# nginx in front of the data service. Build from the repository's root:
#   docker build -f docker/nginx.Dockerfile .

# The base of the other images, so that nothing more is downloaded than nginx itself.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nginx \
    && rm -rf /var/lib/apt/lists/*
# The user of the data service, whose files it reads.
RUN useradd --uid 1000 --no-create-home --home-dir /srv app \
    && mkdir /srv/data \
    && chown app:app /srv/data
COPY docker/nginx.conf /etc/nginx/nginx.conf
USER app
EXPOSE 8080
ENTRYPOINT ["nginx", "-e", "stderr"]
STOPSIGNAL SIGQUIT
