"""What the ledger expects of a merged table, whatever its loads replace, and whatever somebody does to it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from data_platform.lake.extracts import Lake
from data_platform.warehouse import table_rows
from data_platform.warehouse.policy import InPlaceOfAll
from data_platform.warehouse.rebuild import rebuild_table
from data_platform_tests.warehouse.feed import DATABASE, Feed
from data_platform_tests.warehouse.in_process import InProcess, in_process


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, Lake]]:
    with in_process(tmp_path_factory.mktemp("rows")) as made:
        yield made


@pytest.fixture
def feed(engine: tuple[InProcess, Lake]) -> Feed:
    connection: Any = engine[0]
    return Feed(engine[1], connection)


@pytest.fixture
def merged(feed: Feed) -> Feed:
    feed.mode = "merge"
    feed.prepare()
    return feed


def counts(feed: Feed) -> tuple[int, int]:
    """(expected rows, rows there)."""
    with feed.connection.cursor() as cursor:
        return table_rows.expected(cursor, DATABASE)[feed.spec.name], table_rows.count(cursor, feed.table)


def test_a_key_that_comes_again_and_a_file_that_is_corrected_are_counted_once(merged: Feed) -> None:
    merged.load(merged.deliver("a.csv", {"m1": 1, "m2": 2}))
    assert counts(merged) == (2, 2)
    merged.load(merged.deliver("b.csv", {"m2": 20, "m3": 30}))
    assert counts(merged) == (3, 3)
    merged.load(merged.deliver("b.csv", {"m4": 40}))
    assert counts(merged) == (3, 3), "m3 is gone, m2 is the first file's again, m4 is new"
    merged.load(merged.deliver("c.csv", {"m5": 5}), merged.deliver("d.csv", {"m5": 6, "m6": 6}))
    assert counts(merged) == (5, 5)


def test_a_row_that_somebody_deleted_is_missed_until_it_is_loaded_again(merged: Feed) -> None:
    first = merged.deliver("a.csv", {"m1": 1, "m2": 2})
    merged.load(first)
    merged.query(f"DELETE FROM {merged.table.sql} WHERE \"METER_ID\" = 'm1'")
    assert counts(merged) == (2, 1)
    merged.load(merged.deliver("b.csv", {"m3": 3}))
    assert counts(merged) == (3, 2), "a load doesn't hide it"
    merged.load(first, reload=True)
    assert counts(merged) == (3, 3)


def test_a_table_that_is_rebuilt_has_what_is_expected_from_then_on(merged: Feed) -> None:
    first = merged.deliver("a.csv", {"m1": 1, "m2": 2})
    merged.load(first)
    merged.query(f"INSERT INTO {merged.table.sql} SELECT * FROM {merged.table.sql}")
    assert counts(merged) == (2, 4)
    again: Any = lambda: InProcess(merged.connection.instance)  # type: ignore[attr-defined]  # noqa: E731
    rebuild_table(again, DATABASE, merged.spec, InPlaceOfAll([first.manifest]), run_id="r", query_tag="test")
    assert counts(merged) == (2, 2)


def test_of_other_tables_the_loads_say_it(feed: Feed) -> None:
    feed.prepare()
    feed.load(feed.deliver("a.csv", {"m1": 1}))
    with feed.connection.cursor() as cursor:
        assert feed.spec.name not in table_rows.expected(cursor, DATABASE)
