"""File feeds with load mode `history`: each file is a full snapshot of its day, however late it lands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from data_platform.feeds.files import FileFeedSpec
from data_platform_tests.warehouse.feed import Delivered, Feed
from data_platform_tests.warehouse.in_process import in_process

EIGHTH, NINTH, TENTH = (f"2026-03-{day:02}" for day in (8, 9, 10))
BEGIN = datetime(2026, 3, 8, 5, tzinfo=UTC)
"""Midnight in New York. That night, clocks go forward."""
END = BEGIN + timedelta(hours=23)


class Snapshots(Feed):
    """A partner's feed whose files are dumps of a day each."""

    @property
    def spec(self) -> FileFeedSpec:
        return (
            super()
            .spec.with_contract(self.contract)
            .model_copy(update={"load_mode": "history", "time_zone": "America/New_York"})
        )

    def dump(self, day: str, readings: dict[str, Any], **how: Any) -> Delivered:
        return self.deliver(f"meters_{day}.csv", readings, partition=day, **how)

    def versions(self) -> list[tuple[Any, ...]]:
        """(meter, litres, valid from, valid to, deleted), in order."""
        return self.query(
            f"SELECT METER_ID, LITRES::INT, _VALID_FROM, _VALID_TO, _DELETED FROM {self.table.sql} ORDER BY 1, 3"
        )


@pytest.fixture
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshots]:
    with in_process(tmp_path_factory.mktemp("snapshots")) as (connection, lake):
        made = Snapshots(lake, cast("Any", connection))
        made.prepare()
        yield made


def test_a_file_is_of_its_days_start_and_the_same_content_on_another_day_is_no_duplicate(feed: Snapshots) -> None:
    for day, litres in ((EIGHTH, 1), (NINTH, 2), (TENTH, 1)):
        feed.load(feed.dump(day, {"m1": litres}))
    assert feed.outcomes() == {"loaded": 3}
    assert feed.versions() == [
        ("m1", 1, BEGIN, END, False),
        ("m1", 2, END, END + timedelta(days=1), False),
        ("m1", 1, END + timedelta(days=1), None, False),
    ]


def test_a_day_that_is_corrected_takes_the_place_of_what_it_was(feed: Snapshots) -> None:
    feed.load(feed.dump(EIGHTH, {"m1": 1, "m2": 1}))
    feed.load(feed.dump(NINTH, {"m1": 1, "m2": 1}))
    feed.load(feed.dump(EIGHTH, {"m1": 7}))
    assert feed.outcomes() == {"loaded": 2, "superseded": 1}
    assert feed.versions() == [("m1", 7, BEGIN, END, False), ("m1", 1, END, None, False), ("m2", 1, END, None, False)]


def test_days_that_land_in_any_order_or_twice_have_the_same_versions(feed: Snapshots) -> None:
    days = [feed.dump(day, {"m1": 1} if day == EIGHTH else {"m2": 1}) for day in (EIGHTH, NINTH, TENTH)]
    feed.load(days[2], days[0])
    feed.load(days[1], days[0])
    feed.load(feed.dump(NINTH, {"m2": 1}))
    assert feed.outcomes() == {"loaded": 3, "duplicate": 1}
    assert feed.versions() == [("m1", 1, BEGIN, END, True), ("m2", 1, END, None, False)]


def test_a_file_with_a_reject_ends_no_version_of_a_row_that_it_lacks(feed: Snapshots) -> None:
    feed.load(feed.dump(EIGHTH, {"m1": 1, "m2": 1}))
    feed.load(feed.dump(NINTH, {"m2": 2}, rejects=1))
    assert feed.versions() == [("m1", 1, BEGIN, None, False), ("m2", 1, BEGIN, END, False), ("m2", 2, END, None, False)]
