"""What the ledger says of a feed that was renamed or removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from data_platform.lake.extracts import Lake
from data_platform.landing.feed_name import Records, records, rename_records, take_out_records
from data_platform.landing.history import list_deliveries
from data_platform.warehouse import table_rows
from data_platform.warehouse.retired import FeedRetired, require_in_use, revive
from data_platform_tests.warehouse.feed import DATABASE, Feed
from data_platform_tests.warehouse.in_process import InProcess, in_process

OLD, NEW = "meter_readings", "readings"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, Lake]]:
    with in_process(tmp_path_factory.mktemp("names")) as made:
        yield made


@pytest.fixture
def feed(engine: tuple[InProcess, Lake]) -> Feed:
    """A merged feed of two files, one of which has a reject."""
    connection: Any = engine[0]
    made = Feed(engine[1], connection, mode="merge")
    made.prepare()
    made.load(made.deliver("a.csv", {"m1": 1}, rejects=1))
    made.load(made.deliver("b.csv", {"m2": 2}))
    return made


def of(feed: Feed, table: str) -> Records:
    return records(feed.connection, DATABASE, feed.partner, table)


def test_every_record_gets_the_new_name_and_the_old_one_is_refused_until_it_is_taken_again(feed: Feed) -> None:
    assert of(feed, OLD) == Records(2, 2, 1, 4, retired=False, became=None)
    for _ in range(2):
        rename_records(feed.connection, DATABASE, feed.partner, OLD, NEW)
    assert of(feed, NEW) == Records(2, 2, 1, 4, retired=False, became=None)
    assert of(feed, OLD) == Records(0, 0, 0, 0, retired=True, became=NEW)
    with feed.connection.cursor() as cursor:
        assert table_rows.expected(cursor, DATABASE)[f"{feed.partner}/{NEW}"] == 2
    with pytest.raises(FeedRetired, match=f"{feed.partner}/{OLD} was renamed to {feed.partner}/{NEW}"):
        require_in_use(feed.connection, DATABASE, feed.spec)
    rename_records(feed.connection, DATABASE, feed.partner, NEW, OLD)
    require_in_use(feed.connection, DATABASE, feed.spec)
    assert of(feed, NEW).became == OLD


def test_a_removed_feed_keeps_its_records_and_one_that_gets_its_name_begins_anew(feed: Feed) -> None:
    again = feed.deliver("a.csv", {"m1": 1})
    for _ in range(2):
        take_out_records(feed.connection, DATABASE, feed.partner, OLD)
    found = of(feed, OLD)
    assert (found.in_use, found.rejects, found.retired, found.became) == (0, 0, True, None)
    rows = list_deliveries(feed.connection, DATABASE, partner=feed.partner)
    assert {(row.status, row.reason) for row in rows} == {("superseded", "its feed was removed")}
    with pytest.raises(FeedRetired, match=f"was removed.*`data-platform schema apply {feed.partner}/{OLD}`"):
        require_in_use(feed.connection, DATABASE, feed.spec)
    with feed.connection.cursor() as cursor:
        revive(cursor, DATABASE, [(feed.partner, OLD)])
        cursor.execute(f"DROP TABLE {feed.table.sql}")
    feed.prepare()
    feed.load(again)
    assert feed.rows() == {"m1": 1}
    with feed.connection.cursor() as cursor:
        assert table_rows.expected(cursor, DATABASE)[feed.spec.name] == 1
