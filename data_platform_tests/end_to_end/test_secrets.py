"""Planted secrets (an AWS key, the Snowflake key's text, PostgreSQL's password) come to light nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform

pytestmark = pytest.mark.end_to_end

# Where secrets belong, the stand-ins' own stores, and the settings file of the local cloud.
_THEIR_OWN = ("keys", "data", "cloud.env", "run")


def _storage(platform: Platform) -> Iterator[tuple[str, str]]:
    """(table, row as text) of everything in Dagster's database: event logs, run config, tags, metadata."""
    connection = psycopg2.connect(platform.environment["DAGSTER_POSTGRES_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute("select table_name from information_schema.tables where table_schema = 'public'")
            for (table,) in cursor.fetchall():
                cursor.execute(f'select t::text from "{table}" as t')
                for (row,) in cursor:
                    yield table, row
    finally:
        connection.close()


def test_not_in_run_storage(demo: Demo, platform: Platform) -> None:
    seen: dict[str, int] = {}
    for table, row in _storage(platform):
        seen[table] = seen.get(table, 0) + 1
        assert platform.planted.found_in(row) == [], table
    assert seen["event_logs"] > 100 and seen["runs"] > 10, seen


def test_not_in_logs_nor_artifacts(demo: Demo, platform: Platform) -> None:
    files = [path for path in platform.state_dir.rglob("*") if path.is_file()]
    looked_at = [path for path in files if path.relative_to(platform.state_dir).parts[0] not in _THEIR_OWN]
    assert any(path.name == "run.log" for path in looked_at)
    assert any("dbt" in path.parts for path in looked_at)
    for path in looked_at:
        assert platform.planted.found_in(path.read_text(errors="replace")) == [], path


@pytest.mark.parametrize("arguments", [("env",), ("status", "--json")])
def test_not_in_what_commands_print(demo: Demo, platform: Platform, arguments: tuple[str, ...]) -> None:
    """`Platform.command` holds every other command to it, `doctor` too."""
    done = platform.command("data-platform", *arguments)
    assert done.stdout, done.stderr
