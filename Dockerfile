# One image for webserver, daemon, code server and runs. docs/image.md explains how to build and run it.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag data-platform .
#   docker build --target local --tag data-platform-local .     with the local cloud's servers, for demonstration only
#
# /app is laid out like a checkout of the repository, so that code from the image and code from git have the same paths.
# It is a layer of its own, after the packages: new code is a few megabytes to pull.

FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3 AS base

# -- Build -------------------------------------------------------------------------------------------------------------
FROM base AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/build.txt /build/requirements/build.txt
RUN pip install --require-hashes --no-deps -r /build/requirements/build.txt
# Compile the packages now: a read-only file system keeps no bytecode, so every run would compile Dagster again.
COPY requirements/base.txt /build/requirements/base.txt
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --require-hashes --no-deps --compile -r /build/requirements/base.txt
# Install the platform as an editable wheel: its name, its version, its commands and the path /app.
WORKDIR /app
COPY pyproject.toml README.md /app/
COPY data_platform/__init__.py /app/data_platform/__init__.py
RUN python -m hatchling build --target wheel:editable --directory /build/wheel \
 && pip --python /opt/venv/bin/python install --no-index --no-deps /build/wheel/data_platform-*.whl

FROM packages AS packages-local
COPY requirements/local.txt /build/requirements/local.txt
RUN pip --python /opt/venv/bin/python install --require-hashes --no-deps --compile -r /build/requirements/local.txt

FROM packages AS app
ENV PATH=/opt/venv/bin:$PATH
COPY pyproject.toml README.md workspace.yaml /app/
COPY deploy/dagster.yaml deploy/workspace.yaml deploy/rds-ca.pem /app/deploy/
COPY data_platform /app/data_platform
COPY dbt_project /app/dbt_project
# Build dbt's manifest here, once: in `dev` and `prod` a code location never builds it. No component is state-backed (a
# test checks that), so Dagster has no state to build in.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app/data_platform \
 && data-platform dbt-manifest

# -- Run ---------------------------------------------------------------------------------------------------------------
FROM base AS runtime
# git fetches code. OpenSSH's client delivers the smoke test's file. tini, as process 1, forwards signals and reaps orphans.
# No versions are pinned: Debian's mirrors drop a version when its next fix appears.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 platform \
 && useradd --uid 10001 --gid platform --no-create-home --home-dir /tmp --shell /usr/sbin/nologin platform \
 && install --directory --owner platform --group platform /var/lib/data-platform
# The root file system may be read-only: the platform writes below /tmp, or to a mounted volume.
ENV PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    DAGSTER_HOME=/tmp/dagster \
    DATA_PLATFORM_STATE_DIR=/tmp/data-platform
WORKDIR /app
USER 10001:10001
# Declare /tmp as a volume: Docker then creates one even if nobody mounts it, and on Fargate user 10001 owns it.
VOLUME ["/tmp"]
EXPOSE 4000
STOPSIGNAL SIGTERM
# For the code server. Webserver and daemon have their own in deploy/compose.yaml; ECS uses the task definition's.
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s --retries=3 \
    CMD ["dagster", "api", "grpc-health-check", "--port", "4000"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "python", "-m", "data_platform.start"]
# Serves the image's own code, or if DATA_PLATFORM_CODE_URL is set, each new commit of that repository.
CMD ["data-platform", "code-server", "--host", "0.0.0.0", "--port", "4000"]

FROM runtime AS local
COPY --from=packages-local /opt/venv /opt/venv
COPY --from=app /app /app

# The last target is the default.
FROM runtime AS platform
COPY --from=packages /opt/venv /opt/venv
COPY --from=app /app /app
ARG REVISION=unknown
LABEL org.opencontainers.image.title="data-platform" \
      org.opencontainers.image.description="Webserver, daemon, code server and runs of the data platform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
