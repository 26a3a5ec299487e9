"""A Snowflake stand-in of this folder's own, with raw tables, and settings that lead to it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from snowflake.connector import SnowflakeConnection

import data_platform
from data_platform.environment import Settings
from data_platform.transform.process import run_dbt
from data_platform_tests.dbt.raw_tables import create_raw_tables
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer

PROJECT = Path(data_platform.__file__).parent.parent / "dbt_project"
Dbt = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def warehouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnowflakeServer]:
    """dbt's schemas are the platform's, so its tests need a server of their own."""
    folder = tmp_path_factory.mktemp("dbt-snowflake")
    server = SnowflakeServer(folder, KeyPair.generate(folder / "keys"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def warehouse(warehouse_server: SnowflakeServer) -> Iterator[SnowflakeConnection]:
    """A session with it. Raw tables are there and empty, and nothing is left of what dbt built before."""
    with warehouse_server.connect() as connection:
        for schema in ("STAGING", "INTERMEDIATE", "MARTS", "SNAPSHOTS"):
            connection.cursor().execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        create_raw_tables(connection)
        yield connection


@pytest.fixture(scope="session")
def settings_of_server(warehouse_server: SnowflakeServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a platform whose Snowflake is that server and which has nothing else."""
    return {
        **warehouse_server.environment(),
        "DATA_PLATFORM_ENVIRONMENT": "local",
        "DATA_PLATFORM_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SFTP_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_URL": "postgresql://nobody@127.0.0.1:9/none",
    }


@pytest.fixture(scope="module")
def dbt(settings_of_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """Runs dbt on the project as the platform does, and returns the finished process."""
    loaded = Settings.from_environment(settings_of_server)
    target = tmp_path_factory.mktemp("target")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_dbt(*arguments, settings=loaded, project_dir=PROJECT, target=target, seconds=900)

    return run
