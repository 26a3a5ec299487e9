"""A ledger that was lost is written anew from the lake and the receipts, and says what it said before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from obstore.store import MemoryStore

from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.ledger import select_deliveries, write_deliveries
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.recovery import Recovered, missing_deliveries, read_receipts, recovered
from data_platform.landing.settle import write_receipts
from data_platform.warehouse.ledger import LedgerLost
from data_platform.warehouse.recovery import FeedInLake, InTable, Missing, feeds_in, record_missing
from data_platform_tests.warehouse.feed import DATABASE, Delivered, Feed
from data_platform_tests.warehouse.in_process import InProcess, in_process

MODES: tuple[LoadMode, ...] = ("append", "merge", "replace")
TABLES = {"LOADS": ("SOURCE",), "DELIVERIES": ("PARTNER",), "REJECTS": ("SOURCE",), "TABLE_ROWS": ("SOURCE",)}
TIMES = {"LOADED_AT", "REMOVED_AT", "SETTLED_AT", "RECORDED_AT", "SEQUENCE"}
"""What may differ: when it was recorded, and the numbers by which loads are in order."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, Lake]]:
    with in_process(tmp_path_factory.mktemp("recovery")) as made:
        yield made


class Platform:
    """One feed with its ledger, and the receipts of its deliveries, which a partner has too."""

    def __init__(self, engine: tuple[InProcess, Lake], mode: LoadMode) -> None:
        connection: Any = engine[0]
        self.feed = Feed(engine[1], connection, mode=mode)
        self.feed.prepare()
        self.lake, self.landing = MemoryStore(), LandingBucket(MemoryStore(), cast(Any, None), "landing")
        self.pending: set[str] = set()

    def load(self, *delivered: Delivered, also: Any = (), receipts: bool = True) -> None:
        """Loads, and settles as a run does: with the receipts of those whose outcome has changed."""
        done = self.feed.load(*delivered, also=also)
        for row in [*done.corrected, *done.outcomes.values()] if receipts else []:
            write_receipts(row, self.landing, Lake(self.lake), "UTC")

    def a_day(self, *, receipts: bool = True) -> None:
        """Files that are loaded, doubled, corrected, late, and quarantined."""
        feed, day = self.feed, {"partition": "2026-03-07"}
        bad = feed.deliver("bad.csv", {"m1": 1}, **day)  # type: ignore[arg-type]
        refused = replace(bad.settlement, status="quarantined", reason="it is bad", rows_read=0, extract_id=None)
        first, second = feed.deliver("a.csv", {"m1": 1, "m2": 2}, rejects=2), feed.deliver("b.csv", {"m2": 20, "m3": 3})
        self.load(first, second, also=[refused], receipts=receipts)
        self.load(feed.deliver("again.csv", {"m1": 1, "m2": 2}), receipts=receipts)
        self.load(feed.deliver("b.csv", {"m3": 33}, rejects=1), receipts=receipts)
        self.load(feed.deliver("other.csv", {"m9": 9}, **day), receipts=receipts)  # type: ignore[arg-type]
        self.load(feed.deliver("b.csv", {"m3": 30}, landed_minutes=1), receipts=receipts)

    def ledger(self) -> dict[str, Counter[str]]:
        """What the ledger says now, without when it was written."""
        said = {}
        for name, (partner,) in TABLES.items():
            view = f"CURRENT_{name}" if name in ("LOADS", "DELIVERIES") else name
            with self.feed.connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {DATABASE}.PLATFORM.{view} WHERE {partner} = '{self.feed.partner}'")
                columns = [column.name for column in cursor.description]
                rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            said[name] = Counter(
                repr(
                    [
                        (column, str(value) if column not in TIMES else value is None)
                        for column, value in row.items()
                        if column not in ("RUN_ID", "POSITION")
                    ]
                )
                for row in rows
            )
        last = self.feed.query(
            f"SELECT TABLE_ROWS FROM PLATFORM.TABLE_ROWS WHERE SOURCE = '{self.feed.partner}'"
            " ORDER BY RECORDED_AT DESC LIMIT 1"
        )
        said["TABLE_ROWS"] = Counter(str(int(rows)) for (rows,) in last)
        return said

    def lose_ledger(self) -> None:
        for name, (partner,) in TABLES.items():
            self.feed.query(f"DELETE FROM PLATFORM.{name} WHERE {partner} = '{self.feed.partner}'")

    def found(self) -> Recovered:
        feed = self.feed
        receipts = read_receipts(self.lake, self.landing, feed.partner)
        lake = FeedInLake.read(feed.lake, feed.partner, "meter_readings")
        table = InTable.read(feed.connection, DATABASE, feed.partner, "meter_readings")
        return recovered(feed.spec, receipts, lake, table, self.pending)

    def rebuild(self) -> tuple[Missing, int]:
        """What was recorded: loads, and how many deliveries."""
        found, written = self.found(), list[DeliveryRow]()

        def outcomes(cursor: Any) -> None:
            written.extend(missing_deliveries(cursor, DATABASE, self.feed.spec, found.deliveries))
            write_deliveries(cursor, DATABASE, written)

        missing = record_missing(
            self.feed.connection, DATABASE, self.feed.spec, found.loads, found.rejects, run_id="r", also=outcomes
        )
        return missing, len(written)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kept_by", ["the lake", "the partner"])
def test_the_ledger_is_as_it_was(engine: tuple[InProcess, Lake], mode: LoadMode, kept_by: str) -> None:
    platform = Platform(engine, mode)
    platform.a_day()
    before, rows = platform.ledger(), platform.feed.query(f"SELECT * FROM {platform.feed.table.sql}")
    assert len(before["DELIVERIES"]) == 7
    if kept_by == "the partner":
        platform.lake = MemoryStore()
    platform.lose_ledger()
    platform.rebuild()
    assert platform.ledger() == before
    assert platform.feed.query(f"SELECT * FROM {platform.feed.table.sql}") == rows


@pytest.mark.parametrize("mode", MODES)
def test_a_ledger_that_is_whole_gets_nothing_and_one_of_yesterday_what_it_lacks(
    engine: tuple[InProcess, Lake], mode: LoadMode
) -> None:
    platform = Platform(engine, mode)
    platform.load(platform.feed.deliver("a.csv", {"m1": 1}))
    platform.load(platform.feed.deliver("b.csv", {"m2": 2}))
    assert platform.rebuild() == (Missing([], set()), 0)
    platform.load(platform.feed.deliver("a.csv", {"m1": 10}))
    before = platform.ledger()
    kept = platform.feed.query(f"SELECT MIN(LOADED_AT) FROM PLATFORM.LOADS WHERE SOURCE = '{platform.feed.partner}'")
    for table, partner, time in [("LOADS", "SOURCE", "LOADED_AT"), ("DELIVERIES", "PARTNER", "SETTLED_AT")]:
        platform.feed.query(
            f"DELETE FROM PLATFORM.{table} WHERE {partner} = '{platform.feed.partner}' AND {time} > '{kept[0][0]}'"
        )
    assert platform.ledger() != before
    platform.rebuild()
    assert platform.ledger() == before
    assert platform.rebuild() == (Missing([], set()), 0)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_deliveries_whose_receipts_are_gone_are_decided_again_by_the_same_rules(
    engine: tuple[InProcess, Lake], mode: LoadMode
) -> None:
    platform = Platform(engine, mode)
    feed = platform.feed
    platform.load(feed.deliver("a.csv", {"m1": 1, "m2": 2}, rejects=2), receipts=False)
    platform.load(feed.deliver("again.csv", {"m1": 1, "m2": 2}), receipts=False)
    platform.load(feed.deliver("b.csv", {"m3": 3}), receipts=False)
    with feed.connection.cursor() as cursor:
        wanted = f"PARTNER = '{feed.partner}' ORDER BY FILE_NAME"
        before = [replace(each, run_id=None) for each in select_deliveries(cursor, DATABASE, wanted, [])]
        platform.lose_ledger()
        platform.rebuild()
        after = list(select_deliveries(cursor, DATABASE, wanted, []))
    assert [replace(each, settled_at=was.settled_at) for each, was in zip(after, before, strict=True)] == before
    assert platform.found().decided == 3


def test_the_feeds_that_have_extracts_are_known(engine: tuple[InProcess, Lake]) -> None:
    platform = Platform(engine, "append")
    assert f"{platform.feed.partner}/meter_readings" not in feeds_in(platform.feed.lake)
    platform.feed.deliver("a.csv", {"m1": 1})
    assert f"{platform.feed.partner}/meter_readings" in feeds_in(platform.feed.lake)


def test_a_file_that_waits_in_inbound_is_left_to_the_next_run_unless_its_rows_are_loaded(
    engine: tuple[InProcess, Lake],
) -> None:
    platform = Platform(engine, "append")
    loaded, waiting = platform.feed.deliver("a.csv", {"m1": 1}), platform.feed.deliver("b.csv", {"m2": 2})
    platform.load(loaded, receipts=False)  # killed before it settled
    platform.pending = {loaded.settlement.object_key, waiting.settlement.object_key}
    platform.lose_ledger()
    platform.rebuild()
    assert platform.feed.outcomes() == {"loaded": 1}
    platform.pending = set()
    platform.load(loaded, waiting)
    assert platform.feed.rows() == {"m1": 1, "m2": 2}, "neither lost nor doubled"


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_loaded_into_a_table_that_the_ledger_knows_nothing_of(
    engine: tuple[InProcess, Lake], mode: LoadMode
) -> None:
    platform = Platform(engine, mode)
    platform.a_day()
    rows = platform.feed.query(f"SELECT * FROM {platform.feed.table.sql}")
    platform.lose_ledger()
    late = platform.feed.deliver("late.csv", {"m7": 7})
    with pytest.raises(LedgerLost, match="`data-platform ledger rebuild`"):
        platform.load(late)
    assert platform.feed.query(f"SELECT * FROM {platform.feed.table.sql}") == rows
    platform.pending = {late.settlement.object_key}
    platform.rebuild()
    platform.load(late)
    assert platform.feed.query(f"SELECT COUNT(*) FROM {platform.feed.table.sql} WHERE METER_ID = 'm7'") == [(1,)]


@pytest.mark.parametrize("mode", MODES)
def test_a_table_that_is_lost_too_is_loaded_again_from_the_lake(engine: tuple[InProcess, Lake], mode: LoadMode) -> None:
    platform = Platform(engine, mode)
    platform.a_day()
    feed = platform.feed
    ordered = f"SELECT METER_ID, LITRES FROM {feed.table.sql} ORDER BY 1, 2"
    before, rows = platform.ledger(), feed.query(ordered)
    platform.lose_ledger()
    feed.query(f"DROP TABLE {feed.table.sql}")
    platform.rebuild()
    feed.prepare()
    in_use = {each.extract_id for each in platform.found().loads if each.removed_at is None}
    manifests = FeedInLake.read(feed.lake, feed.partner, "meter_readings").manifests
    manifests = sorted(manifests, key=lambda each: str(each.origin["landed_at"]))
    feed.load(*(Delivered(cast(Any, None), each) for each in manifests if each.extract_id in in_use), reload=True)
    assert feed.query(ordered) == rows
    assert platform.ledger() == before | ({"TABLE_ROWS": Counter()} if mode == "merge" else {})
    platform.load(feed.deliver("new.csv", {"m8": 8}))
    expected = {"TABLE_ROWS": Counter([str(len(rows) + 1)])} if mode == "merge" else {}
    assert platform.ledger() == platform.ledger() | expected
