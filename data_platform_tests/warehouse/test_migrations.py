"""An older PLATFORM schema becomes this release's with every row kept, and a newer one is refused."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.feeds.spec import FeedSpec
from data_platform.landing import history
from data_platform.landing import ledger as deliveries
from data_platform.landing.ledger import MIGRATIONS
from data_platform.warehouse import ledger
from data_platform.warehouse.migrations import DatabaseNewer, DatabaseOlder, migrate, require_current
from data_platform.warehouse.rows import time_of_record

_FIRST = {  # the schema of the first release, commit ef6a24c
    "DELIVERIES": '"DELIVERY_ID" VARCHAR, "PARTNER" VARCHAR, "FEED" VARCHAR, "FILE_NAME" VARCHAR, "OBJECT_KEY" VARCHAR,'
    ' "VERSION_ID" VARCHAR, "ETAG" VARCHAR, "SIZE_BYTES" NUMBER(19,0), "CONTENT_SHA256" VARCHAR,'
    ' "LANDED_AT" TIMESTAMP_TZ(6), "PARTITION_KEY" VARCHAR, "STATUS" VARCHAR, "REASON" VARCHAR,'
    ' "ROWS_READ" NUMBER(19,0), "ROWS_LOADED" NUMBER(19,0), "ROWS_REJECTED" NUMBER(19,0), "EXTRACT_ID" VARCHAR,'
    ' "SUPERSEDED_BY" VARCHAR, "RUN_ID" VARCHAR, "SETTLED_AT" TIMESTAMP_TZ(6)',
    "LOADS": '"EXTRACT_ID" VARCHAR, "SOURCE" VARCHAR, "TABLE_NAME" VARCHAR, "PARTITION_KEY" VARCHAR,'
    ' "LOAD_MODE" VARCHAR, "ROWS_LOADED" NUMBER(19,0), "FILES" NUMBER(10,0), "BYTES" NUMBER(19,0), "POSITION" VARIANT,'
    ' "CONTRACT_HASH" VARCHAR, "RUN_ID" VARCHAR, "LOADED_AT" TIMESTAMP_TZ(6)',
    "REJECTS": '"EXTRACT_ID" VARCHAR, "DELIVERY_ID" VARCHAR, "SOURCE" VARCHAR, "TABLE_NAME" VARCHAR,'
    ' "RECORD_NUMBER" NUMBER(19,0), "COLUMN_NAME" VARCHAR, "REASON" VARCHAR, "RAW_TEXT" VARCHAR',
}
EVERY = MIGRATIONS
FEED = FeedSpec.of({"source": "p", "table": "f", "contract": {"columns": [{"name": "id", "type": "string"}]}})


@pytest.fixture
def database(connection: SnowflakeConnection) -> str:
    """A database of its own for each test."""
    name = f"OLD_{uuid.uuid4().hex[:8]}".upper()
    connection.cursor().execute(f"CREATE DATABASE {name}")
    return name


def first_release(connection: SnowflakeConnection, database: str) -> None:
    """Its schema, with two loads: of a delivery, and of another source."""
    cursor = connection.cursor()
    cursor.execute(f"CREATE SCHEMA {database}.PLATFORM")
    for name, columns in _FIRST.items():
        cursor.execute(f"CREATE TABLE {database}.PLATFORM.{name} ({columns})")
    cursor.execute(f"CREATE TABLE {database}.PLATFORM.LOAD_LOCK_00 AS SELECT 'nobody'::VARCHAR AS HOLDER")
    cursor.execute(
        f"INSERT INTO {database}.PLATFORM.DELIVERIES (DELIVERY_ID, PARTNER, FEED, EXTRACT_ID, STATUS, LANDED_AT,"
        " SETTLED_AT, SIZE_BYTES, ROWS_READ, ROWS_LOADED, ROWS_REJECTED) VALUES ('d', 'p', 'f', 'b', 'loaded',"
        " '2026-03-08 12:00:00 +0000'::TIMESTAMP_TZ, '2026-03-09 00:00:00 +0000'::TIMESTAMP_TZ, 1, 1, 1, 0)"
    )
    cursor.execute(
        f"INSERT INTO {database}.PLATFORM.DELIVERIES (DELIVERY_ID, PARTNER, FEED, EXTRACT_ID, STATUS, LANDED_AT,"
        " SETTLED_AT, SIZE_BYTES, ROWS_READ, ROWS_LOADED, ROWS_REJECTED) VALUES ('c', 'p', 'f', 'a', 'superseded',"
        " '2026-03-06 00:00:00 +0000'::TIMESTAMP_TZ, CURRENT_TIMESTAMP(), 1, 1, 1, 0)"
    )
    cursor.execute(
        f"INSERT INTO {database}.PLATFORM.LOADS (EXTRACT_ID, SOURCE, TABLE_NAME, POSITION, LOADED_AT)"
        " SELECT 'b', 'p', 'f', PARSE_JSON('{\"at\": 2}'), '2026-03-09 00:00:00 +0000'::TIMESTAMP_TZ"
        " UNION ALL SELECT 'a', 'p', 'f', PARSE_JSON('{\"at\": 1}'), '2026-03-07 00:00:00 +0000'::TIMESTAMP_TZ"
    )


def loads(connection: SnowflakeConnection, database: str) -> list[tuple[str, int, str]]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT EXTRACT_ID, SEQUENCE, EFFECTIVE_AT FROM {database}.PLATFORM.LOADS ORDER BY SEQUENCE")
    return [(extract, int(sequence), f"{at:%d %H}") for extract, sequence, at in cursor.fetchall()]


def test_the_first_releases_rows_are_kept_and_ordered(connection: SnowflakeConnection, database: str) -> None:
    first_release(connection, database)
    assert migrate(connection, database, EVERY) == sorted(EVERY)
    assert loads(connection, database) == [("a", 1, "06 00"), ("b", 2, "08 12")]
    with connection.cursor() as cursor:
        assert ledger.last_position(cursor, database, FEED) == {"at": 2}
        assert list(ledger.extracts_in_table(cursor, database, FEED)) == ["b"]
    assert migrate(connection, database, EVERY) == []


def test_the_first_releases_rows_are_followed_by_this_releases_records(
    connection: SnowflakeConnection, database: str
) -> None:
    first_release(connection, database)
    migrate(connection, database, EVERY)
    superseded = history.delivery(connection, database, "c")
    assert superseded is not None
    with connection.cursor() as cursor:
        at = time_of_record([ledger.last_loads(cursor, database, FEED).recorded_at])
        ledger.record_removed(cursor, database, FEED, ["b"], at)
        deliveries.write_deliveries(cursor, database, [replace(superseded, delivery_id="d", settled_at=at)])
        assert ledger.extracts_in_table(cursor, database, FEED) == {}
        assert ledger.loaded_extracts(cursor, database, ["a", "b"]) == {"a": 1, "b": 2}
        assert ledger.last_position(cursor, database, FEED) == {"at": 2}
        assert cursor.execute(f"SELECT COUNT(*) FROM {database}.PLATFORM.LOADS").fetchall() == [(3,)]
    found = history.list_deliveries(connection, database)
    assert {(row.delivery_id, row.status) for row in found} == {("c", "superseded"), ("d", "superseded")}


def test_migrations_that_were_cut_off_anywhere_end_in_the_same(connection: SnowflakeConnection, database: str) -> None:
    first_release(connection, database)
    for migration in sorted(EVERY):
        for statement in migration.statements(database):
            connection.cursor().execute(statement)
    migrate(connection, database, EVERY)
    assert loads(connection, database) == [("a", 1, "06 00"), ("b", 2, "08 12")]


def test_a_load_that_a_run_of_the_release_before_still_records_is_known(
    connection: SnowflakeConnection, database: str
) -> None:
    migrate(connection, database, EVERY)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {database}.PLATFORM.LOADS (EXTRACT_ID, SOURCE, TABLE_NAME) SELECT 'c', 'p', 'f'")
        assert ledger.loaded_extracts(cursor, database, ["c"]) == {"c": 0}


def test_an_older_release_refuses_a_newer_database(connection: SnowflakeConnection, database: str) -> None:
    migrate(connection, database, EVERY)
    newest = max(EVERY)
    told = rf"{newest.number} \({newest.name}\).*deploy that release or a later one"
    with pytest.raises(DatabaseNewer, match=told):
        migrate(connection, database, sorted(EVERY)[:-1])


def test_a_load_into_a_database_that_lacks_a_migration_says_what_to_run(
    connection: SnowflakeConnection, database: str
) -> None:
    with pytest.raises(DatabaseOlder, match=rf"lacks {len(EVERY)} migrations.*data-platform schema apply"):
        require_current(connection, database, EVERY)
    migrate(connection, database, EVERY)
    require_current(connection, database, EVERY)


def test_the_numbers_of_all_migrations_are_one_series() -> None:
    assert [migration.number for migration in sorted(EVERY)] == list(range(1, len(EVERY) + 1))
