"""Looking into a running local cloud, and hurting it, for the tests of its supervisor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import boto3
import psutil
import snowflake.connector
from dotenv import dotenv_values

from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.status import PartStatus
from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.servers.postgres import Database

Found = TypeVar("Found")
PARTS = ("aws", "snowflake", "postgres", "web")


def come_up(cloud: LocalCloud) -> bool:
    """Whether every part is up before long. A part that a busy machine keeps from answering within two seconds is
    shown as not answering meanwhile."""
    return wait_for(lambda: {part.state for part in cloud.status()} == {"up"}, 60, "every part is up")


def by_name(cloud: LocalCloud) -> dict[str, PartStatus]:
    return {part.part: part for part in cloud.status()}


def family(cloud: LocalCloud) -> list[psutil.Process]:
    """Every process of the cloud that runs."""
    mains = [psutil.Process(part.pid) for part in cloud.status() if part.pid]
    return [process for main in mains for process in (main, *main.children(recursive=True))]


def of_each(processes: Iterable[psutil.Process], look: Callable[[psutil.Process], Found]) -> list[Found]:
    """What `look` finds of each that still runs: PostgreSQL starts a process for whoever connects, `status` too."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none either
            found.append(look(process))
    return found


def gone(process: psutil.Process) -> bool:
    """Whether it has ended; a zombie has, its parent (this test) has only not asked after it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def kill(cloud: LocalCloud, part: str) -> None:
    process = psutil.Process(by_name(cloud)[part].pid)
    process.kill()
    process.wait(60)


def provisions(cloud: LocalCloud) -> bool:
    """Whether the next `up` provisions."""
    log = cloud.layout.log("provision")
    log.unlink()
    cloud.up()
    provisioned = log.exists()
    log.touch()
    return provisioned


def saved(layout: Layout, service: str) -> str:
    """What AWS has written down of a service's state, which it does now and then; empty before the first time."""
    path = layout.data("aws") / "state" / f"{service}.json"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def environment(cloud: LocalCloud) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(cloud.layout.environment).items()}


def client(cloud: LocalCloud, service: str) -> Any:
    variables = environment(cloud)
    made: Any = boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    return made


def snowflake_session(cloud: LocalCloud) -> Any:
    variables = environment(cloud)
    return snowflake.connector.connect(
        host=variables["SNOWFLAKE_HOST"],
        port=int(variables["SNOWFLAKE_PORT"]),
        protocol="http",
        account=variables["SNOWFLAKE_ACCOUNT"],
        user=variables["SNOWFLAKE_USER"],
        private_key_file=variables["SNOWFLAKE_PRIVATE_KEY_PATH"],
        database=variables["SNOWFLAKE_DATABASE"],
        network_timeout=120,
        timezone="UTC",
    )


def run_sql(cloud: LocalCloud, *statements: str) -> list[tuple[Any, ...]]:
    return Database(environment(cloud)["DAGSTER_POSTGRES_URL"]).run(*statements)
