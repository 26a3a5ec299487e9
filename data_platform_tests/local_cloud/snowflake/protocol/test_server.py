"""The process: sign-in by key pair, restarts, crashes, errors that are never HTTP 500."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pyarrow as pa
import pytest
import requests
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import DatabaseError, ProgrammingError

from data_platform_tests.local_cloud.snowflake.answers import one, refusal, rows
from data_platform_tests.local_cloud.snowflake.conftest import BUCKET, CREDENTIALS, Lake
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer


def test_only_the_registered_key_signs_in(snowflake_server: SnowflakeServer, tmp_path: Path) -> None:
    stranger = KeyPair.generate(tmp_path)
    started = time.monotonic()
    with pytest.raises(DatabaseError) as refused:
        snowflake_server.connect(private_key_file=str(stranger.private_key_path))
    assert refused.value.errno == 390144
    assert "JWT token is invalid" in str(refused.value)
    assert time.monotonic() - started < 45, "it isn't tried again until the 60 s for a sign-in are over"
    with pytest.raises(DatabaseError):
        snowflake_server.connect(user="SOMEBODY", password="secret", authenticator="snowflake", private_key_file=None)


@pytest.mark.stand_in
@pytest.mark.server
def test_what_was_committed_survives_a_stop_and_a_crash(tmp_path: Path, lake: Lake, s3_endpoint: str) -> None:
    lake.put("life/part-0.parquet", pa.table({"id": [7]}))
    server = SnowflakeServer(tmp_path, KeyPair.generate(tmp_path / "keys"), s3_endpoint, CREDENTIALS)
    copy = (
        "copy into s.t from (select $1:id from @s.lake/life/) files = ('part-0.parquet')"
        " file_format = (format_name = s.parquet) force = true"
    )
    try:
        server.start()
        cursor = server.connect().cursor()
        cursor.execute("create schema s")
        cursor.execute("create table s.t (id number(19,0) comment 'kept') comment = 'it''s kept'")
        cursor.execute(f"create stage s.lake url = 's3://{BUCKET}/'")
        cursor.execute("create file format s.parquet type = parquet")
        cursor.execute("create view s.v as select max(id) as newest from s.t")
        cursor.execute("create database second")
        cursor.execute("create table second.public.u as select 1 as id")
        cursor.execute("insert into s.t values (1)".replace("s.t", "data_platform.s.t"))
        assert server.stop() == 0
        server.start()
        cursor = server.connect().cursor()
        cursor.execute(copy)
        cursor.execute("begin")
        cursor.execute("insert into s.t values (99)")
        server.kill()
        server.start()
        cursor = server.connect().cursor()
        assert rows(cursor, "select id from s.t order by id") == [(1,), (7,)]
        assert one(cursor, "select newest from s.v") == 7
        assert one(cursor, "select id from second.public.u") == 1
        assert one(cursor, "select comment from information_schema.tables where table_name = 'T'") == "it's kept"
        cursor.execute(copy)
    finally:
        server.stop()


def test_the_server_listens_on_loopback_only_and_tells_its_health(snowflake_server: SnowflakeServer) -> None:
    answer = requests.get(f"http://127.0.0.1:{snowflake_server.port}/health", timeout=60)
    assert answer.status_code == 200
    listening = Path("/proc/net/tcp").read_text().splitlines()
    port = f"{snowflake_server.port:04X}"
    addresses = {
        line.split()[1] for line in listening if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    }
    assert addresses == {f"0100007F:{port}"}


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("select nope from (select 1 as id)", 904),
        ("select * from nowhere", 2003),
        ("select * from no_schema.nowhere", 2003),
        ("select 1 +", 1003),
        ("selec 1", 1003),
        ("select 'x'::number", 100038),
        ("select '2026-13-01'::date", 100035),
        ("select 1000::number(3,0)", 100039),
        ("select 1/0", 100051),
        ("select no_such_function(1)", 2140),
        ("select 1; select 2", 8),
        ("create table t (id number); drop table t", 8),
    ],
)
def test_every_failure_is_a_sql_error_at_once(cursor: SnowflakeCursor, statement: str, number: int) -> None:
    started = time.monotonic()
    error = refusal(cursor, statement)
    assert isinstance(error, ProgrammingError)
    assert error.errno == number, error
    assert time.monotonic() - started < 30, "it isn't tried again until the network's 120 s are over"


def test_every_statement_has_a_query_id_of_its_own(cursor: SnowflakeCursor) -> None:
    ids = []
    for _ in range(2):
        cursor.execute("select 41 + 1 as answer")
        ids.append(cursor.sfqid)
    assert all(ids) and ids[0] != ids[1]


@pytest.mark.stand_in  # its names
def test_the_session_tells_who_it_is(cursor: SnowflakeCursor) -> None:
    assert one(cursor, "select current_user(), current_role(), current_warehouse(), current_database()") == (
        "DATA_PLATFORM", "DATA_PLATFORM", "DATA_PLATFORM", "DATA_PLATFORM",
    )  # fmt: skip
    cursor.execute("use role loader")
    cursor.execute("use warehouse small")
    assert one(cursor, "select current_role(), current_warehouse()") == ("LOADER", "SMALL")
    cursor.execute("alter session set query_tag = 'it is me', timezone = 'America/New_York'")
    cursor.execute("show parameters like 'query_tag' in session")
    assert [row[:2] for row in cursor.fetchall()] == [("QUERY_TAG", "it is me")]
    cursor.execute("alter session unset query_tag")


def test_a_session_that_sets_no_time_zone_has_the_accounts(snowflake_server: SnowflakeServer) -> None:
    """https://docs.snowflake.com/en/sql-reference/parameters#timezone: America/Los_Angeles unless someone sets it."""
    midnight = "select '2026-01-01 00:00:00'::timestamp_tz"
    with snowflake_server.connect(timezone=None) as connection:
        cursor = connection.cursor()
        assert one(cursor, "show parameters like 'timezone'")[:3] == ("TIMEZONE", *["America/Los_Angeles"] * 2)
        assert cursor.timezone == "America/Los_Angeles"
        assert one(cursor, midnight) == dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)
        assert one(cursor, "select current_timestamp()::varchar")[-5:] in ("-0800", "-0700")
        cursor.execute("alter session set timezone = 'UTC'")
        assert one(cursor, midnight) == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        cursor.execute("alter session unset timezone")
        assert one(cursor, midnight) == dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)
    with snowflake_server.connect(session_parameters={"TIMEZONE": "UTC"}, timezone=None) as connection:
        assert one(connection.cursor(), midnight) == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_a_statement_of_more_than_a_megabyte_is_refused(cursor: SnowflakeCursor) -> None:
    """https://docs.snowflake.com/en/user-guide/query-size-limits: the text's bytes, literals included."""
    longest = (1 << 20) - len("select ''")
    assert one(cursor, f"select '{'x' * longest}'") == "x" * longest
    for text in ("x" * (longest + 1), "é" * (longest // 2 + 1)):
        error = refusal(cursor, f"select '{text}'")
        assert (error.errno, error.sqlstate) == (1003, "42601")
        assert "exceeds the limit of 1048576 bytes" in str(error)


@pytest.mark.stand_in
@pytest.mark.parametrize(
    "statement",
    [
        "create role loader",
        "grant role loader to user data_platform",
        "revoke usage on database data_platform from role loader",
        "create warehouse w with warehouse_size = 'XSMALL'",
        "alter user u set rsa_public_key_2 = 'MII'",
        "create sequence s",
        "create stream s on table t",
        "create table u clone t",
        "create table u (n number autoincrement)",
        "drop database data_platform",
        "show roles",
        "show grants on table t",
        "call procedure()",
    ],
)
def test_a_statement_that_the_platform_does_not_use_is_refused(cursor: SnowflakeCursor, statement: str) -> None:
    cursor.execute("create table t (id number)")
    error = refusal(cursor, statement)
    assert (error.errno, error.sqlstate) == (2, "0A000")


def test_bindings_are_refused(snowflake_server: SnowflakeServer) -> None:
    """The connector's own default, pyformat, puts values into the text."""
    with snowflake_server.connect(paramstyle="qmark") as connection, pytest.raises(ProgrammingError, match="bindings"):
        connection.cursor().execute("select ?", (1,))


def test_the_servers_memory_stays_flat_over_thousands_of_statements(
    snowflake_server: SnowflakeServer, cursor: SnowflakeCursor
) -> None:
    def resident() -> int:
        assert snowflake_server.process is not None
        status = Path(f"/proc/{snowflake_server.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    query = "select seq4() as n, repeat('x', 100) as s from table(generator(rowcount => 2000))"
    for _ in range(100):
        cursor.execute(query)
    before = resident()
    for _ in range(1000):
        cursor.execute(query)
    assert resident() - before < 60_000


def test_stages_and_file_formats_are_made_once(cursor: SnowflakeCursor) -> None:
    cursor.execute("create stage lake url = 's3://somewhere/'")
    assert refusal(cursor, "create stage lake url = 's3://somewhere/'").errno == 2002
    cursor.execute("create stage if not exists lake url = 's3://elsewhere/'")
    assert [row[1] for row in rows(cursor, "show stages like 'lake'")] == ["LAKE"]
    cursor.execute("create file format parquet type = parquet")
    cursor.execute("create file format if not exists parquet type = parquet")
