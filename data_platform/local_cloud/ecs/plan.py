"""The plan of `up --ecs`: the resources and settings that make runs tasks of the local ECS.

A run's task gets what it would get on Fargate: settings as plain variables, secrets by their ARNs, and AWS credentials
by its task role. `provision` creates the resources.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import data_platform
from data_platform.environment import Settings, each_setting
from data_platform.environment.connections import CONNECTION
from data_platform.environment.groups import text_of
from data_platform.local_cloud.ecs.images import LocalImage

CLUSTER, LOG_GROUP, LOGS_BUCKET, IMAGE = (
    "data-platform",
    "/data-platform/runs",
    "data-platform-logs",
    "data-platform:local",
)
TASK_ROLE, EXECUTION_ROLE = "data-platform-run", "data-platform-start"
SUBNETS, SECURITY_GROUPS = ("subnet-00000001", "subnet-00000002", "subnet-00000003"), ("sg-00000001",)
"""ministack's default VPC has them from the start."""

RUN_SECRETS = (
    *("DAGSTER_POSTGRES_URL", "SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
    *("SNOWFLAKE_DBT_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY_PASSPHRASE"),
    *("DATA_PLATFORM_CODE_TOKEN", "DATA_PLATFORM_DBT_TOKEN"),
)
"""The secrets that a run needs, where they are set; and the connections of databases."""

_ACCOUNT = "000000000000"
_NOT_A_RUNS = frozenset(
    (
        *("DAGSTER_HOME", "DATA_PLATFORM_STATE_DIR"),  # files of this machine
        *("SNOWFLAKE_PRIVATE_KEY_PATH", "SNOWFLAKE_DBT_PRIVATE_KEY_PATH", "SNOWFLAKE_READER_PRIVATE_KEY_PATH"),
        *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"),  # ECS gives them to a task
        *("DAGSTER_CURRENT_IMAGE", "DAGSTER_CONTAINER_CONTEXT"),  # the code server sets them for its runs
        *("DATA_PLATFORM_CODE_COMMIT", "DATA_PLATFORM_DBT_COMMIT"),
    )
)


@dataclass(frozen=True)
class EcsPlan:
    """The resources on the local AWS. `secrets`: values by name, without the prefix."""

    cluster: str
    log_group: str
    roles: tuple[str, ...]
    secrets: Mapping[str, str]


def ecs_plan(cloud: Mapping[str, str], own: Mapping[str, str]) -> EcsPlan:
    """`cloud`: the variables that reach the cloud; `own`: the developer's other settings."""
    return EcsPlan(CLUSTER, LOG_GROUP, (TASK_ROLE, EXECUTION_ROLE), run_secrets(cloud, own))


def run_secrets(cloud: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """A run's secrets and their values."""
    keys = ("SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY")
    given = {**own, **cloud, **{key: Path(cloud[f"{key}_PATH"]).read_text(encoding="utf-8") for key in keys}}
    connections = sorted(name for name in given if name.startswith(CONNECTION))
    return {name: given[name] for name in (*RUN_SECRETS, *connections) if given.get(name)}


def ecs_environment(cloud: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The variables that make runs tasks, for the processes that launch runs and for the code server. They contain no
    secret."""
    settings = {
        "DATA_PLATFORM_RUNS_ON": "ecs",
        "DATA_PLATFORM_ECS_CLUSTER": CLUSTER,
        "DATA_PLATFORM_ECS_SUBNETS": ",".join(SUBNETS),
        "DATA_PLATFORM_ECS_SECURITY_GROUPS": ",".join(SECURITY_GROUPS),
        "DATA_PLATFORM_ECS_ASSIGN_PUBLIC_IP": "DISABLED",
        "DATA_PLATFORM_ECS_LOG_GROUP": LOG_GROUP,
        "DATA_PLATFORM_ECS_TASK_ROLE_ARN": f"arn:aws:iam::{_ACCOUNT}:role/{TASK_ROLE}",
        "DATA_PLATFORM_ECS_EXECUTION_ROLE_ARN": f"arn:aws:iam::{_ACCOUNT}:role/{EXECUTION_ROLE}",
        "DATA_PLATFORM_LOGS_BUCKET": LOGS_BUCKET,
    }
    secrets = [
        {
            "name": name,
            "valueFrom": f"arn:aws:secretsmanager:{cloud['AWS_REGION']}:{_ACCOUNT}:secret:{secret_name(name)}",
        }
        for name in run_secrets(cloud, own)
    ]
    plain = plain_settings(Settings.from_environment({**own, **cloud, **settings}))
    context = {"ecs": {"env_vars": [f"{name}={value}" for name, value in plain.items()], "secrets": secrets}}
    return {
        **settings,
        "DAGSTER_CURRENT_IMAGE": IMAGE,
        "DAGSTER_CONTAINER_CONTEXT": json.dumps(context, separators=(",", ":")),
    }


def plain_settings(given: Settings) -> dict[str, str]:
    """The settings that a run gets as plain variables."""
    return {
        name: text_of(value)
        for name, _, value, secret in each_setting(given)
        if not secret
        and value not in (None, ())
        and not name.startswith("DATA_PLATFORM_ECS_")
        and name not in _NOT_A_RUNS
    }


def secret_name(variable: str) -> str:
    """A secret's name in Secrets Manager."""
    return f"data-platform/{variable}"


def checkout_image() -> LocalImage:
    """This checkout and this Python, as an image. Its working folder is the container's own, so that it doesn't read
    the checkout's `.env`, which a real image doesn't have."""
    root = Path(data_platform.__file__).resolve().parents[1]
    return LocalImage(
        entrypoint=(sys.executable, "-m", "data_platform.start"),
        working_dir="{home}",
        env={
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "PYTHONPATH": str(root),
            "PYTHONUNBUFFERED": "1",
        },
    )
