"""The city's register, written to a real PostgreSQL: each wave is what the answer key counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from data_platform.local_cloud import keys
from data_platform.local_cloud.demo.key import AnswerKey
from data_platform.local_cloud.demo.records import ADDRESSES, PERMITS, SOURCE
from data_platform.local_cloud.demo.register import write_states
from data_platform.local_cloud.layout import Layout

pytestmark = pytest.mark.server
Demo = tuple[Path, AnswerKey]


@pytest.fixture(scope="module")
def owner(local_cloud: dict[str, str]) -> str:
    parts = urlsplit(local_cloud[f"DATA_PLATFORM_CONNECTION_{SOURCE.upper()}"])
    password = keys.password(Layout.at(Path(local_cloud["DATA_PLATFORM_STATE_DIR"])), SOURCE)
    return f"postgresql://{SOURCE}:{password}@{parts.hostname}:{parts.port}/{SOURCE}"


@pytest.fixture
def cursor(owner: str) -> Iterator[Any]:
    connection = psycopg2.connect(owner)
    connection.autocommit = True
    with connection.cursor() as opened:
        opened.execute("SET timezone = 'UTC'")
        yield opened
    connection.close()


def rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def everything(cursor: Any) -> list[tuple[Any, ...]]:
    return [
        *rows(cursor, "SELECT t::text FROM register.addresses t ORDER BY address_id"),
        *rows(cursor, "SELECT t::text FROM register.permits t ORDER BY permit_id"),
    ]


def test_a_wave_can_be_written_again_and_is_the_same(demo: Demo, owner: str, cursor: Any) -> None:
    folder, key = demo
    for wave in key.register:
        write_states(wave, folder, owner)
        once = everything(cursor)
        write_states(wave, folder, owner)
        assert everything(cursor) == once
    write_states(key.register[0], folder, owner)
    assert everything(cursor) != once


def test_the_key_counts_what_the_database_holds(demo: Demo, owner: str, cursor: Any) -> None:
    """The counts by SQL, as the overlap and the contract say."""
    folder, key = demo
    write_states(key.register[0], folder, owner)
    bad = "status IS NULL OR cost = 'NaN' OR NOT isfinite(applied_on)"
    ((last, first, first_bad),) = rows(
        cursor, f"SELECT max(updated_at), count(*), count(*) FILTER (WHERE {bad}) FROM register.permits"
    )
    write_states(key.register[1], folder, owner)
    again = f"updated_at >= '{last.isoformat()}'::timestamptz - interval '15 minutes'"
    ((second, second_bad),) = rows(
        cursor, f"SELECT count(*), count(*) FILTER (WHERE {bad}) FROM register.permits WHERE {again}"
    )
    permits = key.databases[PERMITS]
    assert (first + second, first_bad + second_bad) == (permits.rows_read, permits.rejects)
    late = rows(cursor, f"SELECT permit_id FROM register.permits WHERE notes = 'Late' AND {again}")
    assert len(late) == 1, "committed before the last read's end, and read all the same"

    ((addresses, nowhere),) = rows(
        cursor, "SELECT count(*), count(*) FILTER (WHERE neighborhood IS NULL) FROM register.addresses"
    )
    expected = key.databases[ADDRESSES]
    assert (addresses, nowhere) == (expected.rows_read, expected.rejects)
    assert key.tables[ADDRESSES] == addresses - nowhere


def test_texts_arrive_as_they_are(demo: Demo, owner: str, cursor: Any) -> None:
    folder, key = demo
    write_states(key.register[0], folder, owner)
    notes = {note for (note,) in rows(cursor, "SELECT DISTINCT notes FROM register.permits")}
    assert {None, "", "\\N", "null", "Line one\nLine two\tand more", "Façade protégée", "水 main nearby"} <= notes
