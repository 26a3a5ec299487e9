"""The configuration of a local cloud, and the environment variables that reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_platform.environment import LOCAL_DEFAULTS, RunsOn
from data_platform.environment.connections import variable_of
from data_platform.local_cloud import aws, keys, web_apis
from data_platform.local_cloud.declared import Declared
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK, PREFERRED


@dataclass(frozen=True)
class CloudSpec:
    """A local cloud's folder, and the names it must serve. `runs_on`: how runs are executed; None as before. `own`: the
    developer's settings; runs that are tasks get those that the cloud doesn't set itself."""

    state_dir: Path
    defs_dir: Path
    lake_bucket: str = LOCAL_DEFAULTS["DATA_PLATFORM_LAKE_BUCKET"]
    landing_bucket: str = LOCAL_DEFAULTS["DATA_PLATFORM_LANDING_BUCKET"]
    snowflake: Mapping[str, str] = field(
        default_factory=lambda: {
            name: LOCAL_DEFAULTS[f"SNOWFLAKE_{name.upper()}"]
            for name in ("account", "user", "role", "warehouse", "database")
        }
    )
    postgres_databases: tuple[str, ...] = ("dagster",)
    preferred_ports: Mapping[str, int] = field(default_factory=lambda: PREFERRED)
    runs_on: RunsOn | None = None
    own: Mapping[str, str] = field(default_factory=dict)


def cloud_environment(layout: Layout, ports: Mapping[str, int], spec: CloudSpec, declared: Declared) -> dict[str, str]:
    """Every variable that settings need to reach this cloud, by name."""
    private_key, _ = keys.snowflake_key_pair(layout)

    def url(role: str, database: str) -> str:
        return f"postgresql://{role}:{keys.password(layout, role)}@{LOOPBACK}:{ports['postgres']}/{database}"

    return {
        "DATA_PLATFORM_ENVIRONMENT": "local",
        "DATA_PLATFORM_STATE_DIR": str(layout.root),
        "DATA_PLATFORM_RUNS_ON": "process",
        "DATA_PLATFORM_LAKE_BUCKET": spec.lake_bucket,
        "DATA_PLATFORM_LANDING_BUCKET": spec.landing_bucket,
        "AWS_REGION": aws.REGION,
        "AWS_DEFAULT_REGION": aws.REGION,
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{ports['aws']}",
        **aws.CREDENTIALS,
        "SFTP_HOST": LOOPBACK,
        "SFTP_PORT": str(ports["sftp"]),
        **{f"SNOWFLAKE_{name.upper()}": value for name, value in spec.snowflake.items()},
        **{f"SNOWFLAKE_{user}PRIVATE_KEY_PATH": str(private_key) for user in ("", "DBT_", "READER_")},
        "SNOWFLAKE_HOST": LOOPBACK,
        "SNOWFLAKE_PORT": str(ports["snowflake"]),
        "SNOWFLAKE_PROTOCOL": "http",
        "DAGSTER_HOME": str(layout.dagster_home),
        "DAGSTER_POSTGRES_URL": url("dagster", "dagster"),
        **{variable_of(name): url(keys.reader_of(name), name) for name in declared.databases},
        **{
            variable_of(name): web_apis.url(service, keys.web_api_key(layout, service), ports[web_apis.NAME])
            for name, service in declared.web_apis.items()
        },
        **{
            variable_of(name.partition(".")[2]): web_apis.stored_url(layout, name, ports[web_apis.NAME])
            for name in declared.stored_apis
        },
    }


def dotenv_text(environment: Mapping[str, str]) -> str:
    """The variables as a dotenv file, which a shell can read too."""
    lines = ["# `data-platform up` writes this file and overwrites changes. Keys are in keys/."]
    for name, value in environment.items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}='{quoted}'")
    return "\n".join(lines) + "\n"
