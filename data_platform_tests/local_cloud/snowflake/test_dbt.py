"""dbt-snowflake's own SQL, run as the platform runs dbt against the stand-in: every materialization twice, with a
change between."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.transform.process import dbt_command
from data_platform_tests.local_cloud.snowflake.dbt_project import write_project
from data_platform_tests.servers.snowflake import SnowflakeServer

READINGS = """
    insert into raw_contract.readings (reading_id, city_id, status, amount, updated_at, _extracted_at) values
    (1, 1, 'ok', 1.125, '2026-03-08 01:30:00 +00:00', current_timestamp()),
    (2, 1, 'late', 2.250, '2026-03-08 02:30:00 +00:00', current_timestamp()),
    (3, 2, 'ok', 3.500, '2026-03-09 00:00:00 +00:00', current_timestamp())
"""


@pytest.fixture(scope="module")
def raw_tables(snowflake_server: SnowflakeServer) -> Iterator[SnowflakeConnection]:
    connection = snowflake_server.connect()
    cursor = connection.cursor()
    cursor.execute("create or replace schema raw_contract")
    cursor.execute(
        "create table readings (reading_id number(19,0) not null, city_id number(38,0), status varchar,"
        " amount number(20,3), updated_at timestamp_tz, _extracted_at timestamp_tz)"
    )
    cursor.execute(READINGS)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, snowflake_server: SnowflakeServer) -> Path:
    folder = tmp_path_factory.mktemp("dbt")
    write_project(
        folder,
        {
            "account": "local",
            "user": "DATA_PLATFORM",
            "role": "DATA_PLATFORM",
            "warehouse": "DATA_PLATFORM",
            "database": "DATA_PLATFORM",
            "schema": "CONTRACT",
            "private_key_path": snowflake_server.keys.private_key_path,
            "host": "127.0.0.1",
            "port": snowflake_server.port,
            "protocol": "http",
        },
    )
    return folder


def dbt(project: Path, *arguments: str) -> str:
    command = dbt_command(*arguments, "--profiles-dir", str(project))
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def rows(connection: SnowflakeConnection, query: str) -> list[tuple[object, ...]]:
    return connection.cursor().execute(query).fetchall()  # type: ignore[union-attr]


def test_a_build_twice_with_a_change_between_leaves_what_dbt_promises(
    project: Path, raw_tables: SnowflakeConnection
) -> None:
    dbt(project, "build")
    cursor = raw_tables.cursor()
    cursor.execute("begin")
    cursor.execute(
        "update raw_contract.readings set status = 'ok', amount = 9.999, updated_at = '2026-03-10 00:00:00 +00:00'"
        " where reading_id = 2"
    )
    cursor.execute("delete from raw_contract.readings where reading_id = 3")
    cursor.execute("commit")
    dbt(project, "build")

    merged = rows(raw_tables, "select reading_id, status, amount from contract.latest_readings order by 1")
    assert [(i, s, str(a)) for i, s, a in merged] == [(1, "ok", "1.125"), (2, "ok", "9.999"), (3, "ok", "3.500")]
    assert rows(raw_tables, "select count(*), count(distinct reading_id) from contract.replaced_readings") == [(3, 3)]
    assert rows(raw_tables, "select count(*) from contract.appended_readings") == [(5,)]
    history = rows(
        raw_tables,
        "select reading_id, dbt_valid_to is null from contract_snapshots.readings_by_timestamp order by 1, dbt_valid_from",  # noqa: E501
    )
    assert history == [(1, True), (2, False), (2, True), (3, True)]
    history = rows(
        raw_tables,
        "select reading_id, dbt_valid_to is null from contract_snapshots.readings_by_check order by 1, dbt_valid_from",
    )
    assert history == [(1, True), (2, False), (2, True), (3, False)]

    midnight = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert rows(raw_tables, "select midnight from contract.of_no_zone") == [(midnight,)], "dbt's sessions are in UTC"


def test_the_catalog_has_types_comments_and_row_counts(project: Path, raw_tables: SnowflakeConnection) -> None:
    dbt(project, "docs", "generate")
    catalog = json.loads((project / "target" / "catalog.json").read_text())
    table = catalog["nodes"]["model.contract.daily"]
    assert table["stats"]["row_count"]["value"] == 2
    assert table["columns"]["TOTAL"]["type"] == "NUMBER"
    view = catalog["nodes"]["model.contract.stg_readings"]
    assert view["metadata"]["comment"] == "The partner's readings; it's a view"
    assert view["columns"]["READING_ID"]["comment"] == "The reading's id"


def test_a_sources_freshness_is_read_from_its_newest_row(project: Path, raw_tables: SnowflakeConnection) -> None:
    dbt(project, "source", "freshness")
    (result,) = json.loads((project / "target" / "sources.json").read_text())["results"]
    assert result["status"] == "pass"
