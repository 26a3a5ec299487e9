"""The databases of declared connections: the owner writes, the platform's role reads, and nobody else gets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from data_platform.local_cloud import keys
from data_platform.local_cloud.declared import read_declared
from data_platform.local_cloud.ecs.plan import run_secrets
from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.local_cloud.clouds import environment
from data_platform_tests.servers.local_cloud import private_cloud

VARIABLE = "DATA_PLATFORM_CONNECTION_TOWN"
DECLARATION = """
type: data_platform.components.SqlTables
attributes:
  description: The town's records.
  time_zone: UTC
  owners: ["team:town"]
  connection: town
  tables:
    - table: houses
      from: register.houses
      description: Houses.
      load_mode: replace
      contract: {columns: [{name: id, type: int64}]}
"""


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    defs = tmp_path_factory.mktemp("defs")
    for name in ("town", "town_again"):  # two sources may read one database
        folder = defs / "sources" / "databases" / name
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(DECLARATION)
    return defs


def test_a_connection_is_declared_once_with_the_schemas_that_are_read(defs: Path) -> None:
    assert read_declared(defs).databases == {"town": ("register",)}


@pytest.fixture(scope="module")
def town(defs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = private_cloud(tmp_path_factory.mktemp("cloud"), defs)
    try:
        cloud.up()
        yield cloud
    finally:
        cloud.down()


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def owners_url(cloud: LocalCloud) -> str:
    parts = urlsplit(environment(cloud)[VARIABLE])
    return f"postgresql://town:{keys.password(cloud.layout, 'town')}@{parts.hostname}:{parts.port}/town"


@pytest.mark.server
def test_the_reader_reads_the_schemas_tables_and_does_nothing_else(town: LocalCloud) -> None:
    reader, owner = environment(town)[VARIABLE], owners_url(town)
    query(owner, "CREATE TABLE register.houses AS SELECT 7 AS id")
    query(owner, "CREATE SCHEMA private")
    query(owner, "CREATE TABLE private.letters AS SELECT 'secret' AS text")
    assert query(reader, "SELECT id FROM register.houses") == [(7,)]
    for refused in (
        "INSERT INTO register.houses VALUES (8)",
        "DROP TABLE register.houses",
        "CREATE TABLE register.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "SELECT * FROM private.letters",
    ):
        with pytest.raises(psycopg2.Error):
            query(reader, refused)
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        query(reader.rpartition("/")[0] + "/dagster", "SELECT 1")


@pytest.mark.server
def test_its_address_is_a_secret_of_runs_that_are_tasks(town: LocalCloud) -> None:
    variables = environment(town)
    assert run_secrets(variables, {})[VARIABLE] == variables[VARIABLE]
