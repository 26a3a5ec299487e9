"""A table of geocoded addresses: what is asked, what is kept, what a kill leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.ingest import Ingested, Ingestion
from data_platform.extract.source import Refused
from data_platform.extract.web.client import ApiFailed
from data_platform.feeds.geocoded import GeocodedSpec, KeptDays, SpendCap
from data_platform.geocode.source import GeocodeSource
from data_platform.lake.extracts import Lake
from data_platform.local_cloud.web.faults import Fault
from data_platform_tests.geocode.city import City, city, geocoded_feed
from data_platform_tests.warehouse.in_process import DATABASE, InProcess, in_process

ROWS = [
    ("1 Mill Pond Road",),
    ("1  mill pond road.",),
    ("2 Mill Pond Road, Apt. 4",),
    ("7 Quay Street",),
    ("1 Nowhere Road",),
    ("--",),
    (None,),
]


@dataclass
class Desk:
    """A town's services and a warehouse with addresses."""

    town: City
    connection: InProcess
    lake: Lake
    log: list[str] = field(default_factory=list)

    def write(self, rows: list[Any]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW_CITY")
            cursor.execute("CREATE OR REPLACE TABLE RAW_CITY.REQUESTS (ADDRESS VARCHAR)")
            for (text,) in rows:
                cursor.execute("INSERT INTO RAW_CITY.REQUESTS SELECT %s", [text])

    def source(self, feed: GeocodedSpec | None = None, provider: Any = None) -> GeocodeSource:
        return GeocodeSource(
            feed or geocoded_feed(),
            lambda: nullcontext(self.connection),  # type: ignore[arg-type]
            DATABASE,
            provider or self.town.address_search,
            progress=self.log.append,
        )

    def run(self, source: GeocodeSource) -> Ingested:
        connect: Any = lambda **_: nullcontext(self.connection)  # noqa: E731
        ingestion = Ingestion(source, lake=self.lake, connect=connect, database=DATABASE, run_id="a run")
        result = ingestion.run(extracts=True, loads=True, partition=None)
        ingestion.settle(result)
        return result

    def table(self) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT ADDRESS, STATUS, MATCHED_ADDRESS FROM RAW_GEOCODER.REQUESTS ORDER BY ADDRESS")
            return cursor.fetchall()

    @property
    def asked(self) -> int:
        return len(self.town.web.requests["address_search"])

    @property
    def spent(self) -> int:
        """What counts against the cap."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT SUM(ADDRESSES) FROM PLATFORM.GEOCODING")
            ((spent,),) = cursor.fetchall()
            return int(spent)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with city() as town, in_process(tmp_path) as (connection, lake):
        yield Desk(town, connection, lake)


def test_each_address_has_a_row_with_its_place_or_the_reason_why_it_has_none(desk: Desk) -> None:
    desk.write(ROWS)
    source = desk.source()
    desk.run(source)
    assert desk.table() == [
        ("--", "no_address", None),
        ("1  mill pond road.", "matched", "1 MILL POND ROAD"),
        ("1 Mill Pond Road", "matched", "1 MILL POND ROAD"),
        ("1 Nowhere Road", "no_match", None),
        ("2 Mill Pond Road, Apt. 4", "matched", "2 MILL POND ROAD"),
        ("7 Quay Street", "ambiguous", None),
    ]
    assert desk.asked == 4, "two spellings of one address are asked for once, and no address not at all"
    assert source.metadata() == {
        "addresses": 6,
        "matched": 3,
        "ambiguous": 1,
        "no match": 1,
        "no address": 1,
        "left to later runs": 0,
        "asked": 4,
        "from kept answers": 0,
        "asked today": 4,
    }
    with desk.connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM RAW_GEOCODER.REQUESTS WHERE (STATUS = 'matched') = (REASON IS NULL)"
            " AND (STATUS = 'matched') = (LATITUDE IS NOT NULL) AND (LATITUDE IS NULL) = (LOCATION IS NULL)"
        )
        assert cursor.fetchall() == [(6,)]


def test_what_is_known_isnt_asked_again_until_it_expires(desk: Desk) -> None:
    desk.write(ROWS)
    desk.run(desk.source())
    first = desk.table()
    desk.write([*ROWS, ("3 Mill Pond Road",)])
    desk.run(desk.source())
    assert desk.asked == 5
    assert desk.table() == sorted([*first, ("3 Mill Pond Road", "matched", "3 MILL POND ROAD")])
    desk.run(desk.source(geocoded_feed(kept_days=KeptDays(matched=365, missed=0))))
    assert desk.asked == 7, "the two misses have expired"
    desk.run(desk.source(geocoded_feed(connection="another")))
    assert desk.asked == 12, "another service's answers aren't this one's"


def test_an_address_that_the_table_no_longer_has_is_gone(desk: Desk) -> None:
    desk.write(ROWS)
    desk.run(desk.source())
    desk.write(ROWS[:1])
    desk.run(desk.source())
    assert desk.table() == [("1 Mill Pond Road", "matched", "1 MILL POND ROAD")]


def test_the_cap_leaves_addresses_to_later_runs_and_says_so(desk: Desk) -> None:
    desk.write([(f"{number} Mill Pond Road",) for number in range(1, 11)])
    capped = geocoded_feed(cap=SpendCap(per_run=4, per_day=7))
    counted = []
    for _ in range(3):
        source = desk.source(capped)
        desk.run(source)
        counted.append((source.metadata()["asked"], source.metadata()["left to later runs"]))
    assert counted == [(4, 6), (3, 3), (0, 3)]
    assert "the cap is 4 a run and 7 a day, of which 7 are spent" in desk.log[-1]
    with desk.connection.cursor() as cursor:
        cursor.execute("UPDATE PLATFORM.GEOCODING SET ASKED_AT = DATEADD(DAY, -1, ASKED_AT)")
    desk.run(desk.source(capped))
    assert {status for _, status, _ in desk.table()} == {"matched"}


def test_what_was_found_before_the_service_failed_is_kept(desk: Desk) -> None:
    desk.write([(f"{number} Mill Pond Road",) for number in range(1, 101)])
    desk.town.web.faults["address_search"].set([Fault(status=401, after=60, times=1000)])
    with pytest.raises(ApiFailed, match="gatekeeper key"):
        desk.run(desk.source())
    asked, good = desk.asked, 60
    desk.town.web.faults["address_search"].set([])
    source = desk.source()
    desk.run(source)
    assert asked < 100, "a service that fails isn't asked for all the others"
    assert source.metadata()["from kept answers"] == good
    assert desk.asked == asked + 100 - good
    assert desk.spent == desk.asked, "also what was asked for in vain"
    assert {status for _, status, _ in desk.table()} == {"matched"}


def test_the_census_geocoder_takes_its_place(desk: Desk) -> None:
    desk.write(ROWS)
    feed = geocoded_feed(provider={"type": "census"}, connection="census")
    desk.run(desk.source(feed, desk.town.census))
    assert [status for _, status, _ in desk.table()] == [
        *("no_address", "matched", "matched", "no_match", "matched", "ambiguous")
    ]
    assert len(desk.town.web.requests["census"]) == 1


def test_an_input_without_a_table_has_nothing_to_geocode(desk: Desk) -> None:
    result = desk.run(desk.source())
    assert result.loads == [] and "has no table yet" in desk.log[0]


def test_an_input_without_the_column_is_told_with_those_it_has(desk: Desk) -> None:
    desk.write(ROWS)
    with pytest.raises(Refused, match="geocoder/requests: raw/city/requests has no column adress; it has address"):
        desk.run(desk.source(geocoded_feed(column="adress")))


def test_a_model_can_be_the_input(desk: Desk) -> None:
    with desk.connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA STAGING")
        cursor.execute("CREATE VIEW STAGING.STG_REQUESTS AS SELECT '1 mill pond road' AS ADDRESS")
    desk.run(desk.source(geocoded_feed(**{"from": "staging/stg_requests"})))
    assert desk.table() == [("1 mill pond road", "matched", "1 MILL POND ROAD")]


def test_answers_are_kept_with_the_time_at_which_they_were_given(desk: Desk) -> None:
    desk.write(ROWS[:1])
    before = datetime.now(UTC)
    desk.run(desk.source())
    with desk.connection.cursor() as cursor:
        cursor.execute("SELECT ASKED_AT FROM RAW_GEOCODER.REQUESTS")
        ((asked_at,),) = cursor.fetchall()
    assert before - timedelta(seconds=1) <= asked_at.astimezone(UTC) <= datetime.now(UTC)
