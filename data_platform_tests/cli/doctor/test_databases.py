"""What the doctor says about the databases that feeds read."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.cli.doctor import connections
from data_platform.environment import Settings
from data_platform_tests.servers.postgres import Database, database, postgres_server

__all__ = ["database", "postgres_server"]

YAML = """
type: data_platform.components.SqlTables
attributes:
  description: The register.
  time_zone: America/New_York
  owners: ["team:records"]
  connection: records
  tables:
    - {table: t, description: Rows., contract: {columns: [{name: id, type: int64}]}}
"""
VARIABLE = "DATA_PLATFORM_CONNECTION_RECORDS"


@pytest.fixture(autouse=True)
def defs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sources" / "databases" / "city_records" / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(YAML)
    monkeypatch.setattr(connections, "DEFS", tmp_path)


def test_a_database_that_answers_is_ok(database: Database) -> None:
    (found,) = connections.databases(Settings.from_environment({VARIABLE: database.url}))
    assert (found.subject, found.state) == ("database city_records", "ok")
    assert found.found.endswith("lets postgres sign in")


def test_a_connection_that_is_not_set_is_named() -> None:
    (found,) = connections.databases(Settings.from_environment({}))
    assert (found.state, VARIABLE in found.found) == ("failed", True)


def test_a_database_that_refuses_is_explained_without_the_password(database: Database) -> None:
    user, _, rest = database.url.rpartition("@")
    url = f"{user.rpartition(':')[0]}:planted@{rest}"
    (found,) = connections.databases(Settings.from_environment({VARIABLE: url}))
    assert (found.state, "password authentication failed" in found.found) == ("failed", True)
    assert "planted" not in repr(found)
