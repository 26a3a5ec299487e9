# One image for webserver, daemon, code server and runs. It carries no `local` and no `dev` extra: no test servers.
#   docker build -t data-platform .
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/base.txt /build/requirements/base.txt
RUN pip install --require-hashes --no-deps -r /build/requirements/base.txt
COPY pyproject.toml README.md /build/
COPY data_platform /build/data_platform
RUN pip install hatchling==1.27.0 && pip install --no-deps --no-build-isolation /build && pip uninstall -y hatchling

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 platform && useradd --uid 10001 --gid platform --no-create-home --home-dir /app platform
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DATA_PLATFORM_STATE_DIR=/tmp/data-platform DAGSTER_HOME=/app/dagster
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY workspace.yaml pyproject.toml /app/
COPY data_platform /app/data_platform
COPY dbt_project /app/dbt_project
# dbt's manifest is parsed here, once: in `dev` and `prod` a code location never parses it.
RUN mkdir -p /app/dagster && data-platform dbt-manifest && chown -R platform:platform /app/dagster
USER platform
EXPOSE 4000
CMD ["dagster", "api", "grpc", "--module-name", "data_platform.definitions", "--host", "0.0.0.0", "--port", "4000"]
