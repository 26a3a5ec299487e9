"""Whatever its source: what is read is loaded once, in order and whole, however often a run is cut off."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.contract import Contract
from data_platform.environment import Settings
from data_platform.extract import extract as extract_module
from data_platform.extract import ingest as ingest_module
from data_platform.extract.ingest import Ingested, Ingestion
from data_platform.extract.source import Chunk, Position, Refused, Slice, Snapshot, Source, extract_id_of
from data_platform.feeds.spec import FeedSpec, LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.connection import connect
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.load_rules import LoadRefused
from data_platform.warehouse.policy import InPlaceOfAll
from data_platform.warehouse.rebuild import rebuild_table

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
CONTRACT: dict[str, Any] = {
    "columns": [{"name": "id", "type": "string", "nullable": False}, {"name": "value", "type": "int32"}],
    "key": ["id"],
}
DATABASE = "DATA_PLATFORM"


class Cut(Exception):
    """The fault that a test plants."""


@dataclass
class Register:
    """A system of record: {id: (value, when it was changed)}. `fault` is called before each read."""

    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    fault: Callable[[], None] = lambda: None
    reads: int = 0


@dataclass
class Read:
    """Some of its rows, as found when the slice was opened."""

    feed: FeedSpec
    rows: Sequence[tuple[str, int]]
    end: Position
    fault: Callable[[], None]

    @property
    def contract(self) -> Contract:
        return self.feed.contract

    def chunks(self) -> Iterator[Chunk]:
        for row in self.rows:
            self.fault()
            values = dict(zip(("id", "value"), row, strict=True))
            yield Chunk(pa.RecordBatch.from_pylist([values], schema=self.contract.arrow_schema))
        self.fault()

    def position(self) -> Position:
        return self.end


class Changes(Source):
    """The rows that were changed after the last ones that were read."""

    def __init__(self, feed: FeedSpec, register: Register) -> None:
        super().__init__(feed)
        self.register = register

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        begin = since["at"] if since else 0
        end = max((at for _, at in self.register.rows.values()), default=0)
        if begin < end:
            yield Slice(
                extract_id_of(self.feed.name, begin, end),
                effective_at=NOON + timedelta(minutes=end),
                since={"at": begin},
                until={"at": end},
            )

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[Read]:
        assert slice_.since and slice_.until
        self.register.reads += 1
        new = [
            (key, value)
            for key, (value, at) in self.register.rows.items()
            if slice_.since["at"] < at <= slice_.until["at"]
        ]
        yield Read(self.feed, new, slice_.until, self.register.fault)


class Halves(Source):
    """The whole register in two parts. Resumes the snapshot that a killed run has begun."""

    resumes = True

    def __init__(self, feed: FeedSpec, register: Register, at: int) -> None:
        super().__init__(feed)
        self.register, self.at = register, at

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        begun = unfinished[-1] if unfinished and self.resumes else None
        snapshot = begun.snapshot_id if begun and begun.snapshot_id else f"{self.feed.name} at {self.at}"
        effective = begun.effective_at if begun and begun.effective_at else NOON + timedelta(minutes=self.at)
        for part in range(2):
            yield Slice(
                extract_id_of(snapshot, part),
                effective_at=effective,
                snapshot=Snapshot(snapshot, 2),
                origin={"part": part},
            )

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[Read]:
        self.register.reads += 1
        keys = sorted(self.register.rows)[slice_.origin["part"] :: 2]
        rows = [(key, self.register.rows[key][0]) for key in keys]
        yield Read(self.feed, rows, {"part": slice_.origin["part"]}, self.register.fault)


class Anew(Halves):
    """The same, but it can't resume."""

    resumes = False


@dataclass
class Table:
    """A feed of a test's own."""

    lake: Lake
    cloud: Settings
    connection: SnowflakeConnection
    feed: FeedSpec
    register: Register = field(default_factory=Register)

    def ingestion(self, source: Source | None = None) -> Ingestion:
        return Ingestion(
            source or Changes(self.feed, self.register),
            lake=self.lake,
            connect=lambda: connect(self.cloud),
            database=DATABASE,
            run_id="run",
        )

    def run(self, source: Source | None = None, **parts: bool) -> Ingested:
        ingestion = self.ingestion(source)
        result = ingestion.run(**parts)
        ingestion.settle(result)
        return result

    def rows(self) -> dict[str, int]:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT ID, VALUE FROM RAW_{self.feed.source}.{self.feed.table}")
            found = list(cursor.fetchall())
        assert len({key for key, _ in found}) == len(found), f"doubled: {found}"
        return {key: int(value) for key, value in found}

    def expected(self) -> dict[str, int]:
        return {key: value for key, (value, _) in self.register.rows.items()}

    def unloaded(self) -> list[Manifest]:
        return self.lake.unloaded(self.feed.source, self.feed.table)


@pytest.fixture
def table(lake: Lake, cloud: Settings, connection: SnowflakeConnection) -> Callable[[LoadMode], Table]:
    def made(mode: LoadMode) -> Table:
        feed = FeedSpec.of(
            {"source": f"s{uuid.uuid4().hex[:10]}", "table": "t", "load_mode": mode, "contract": CONTRACT}
        )
        return Table(lake, cloud, connection, feed)

    return made


def test_what_is_new_is_read_and_loaded_once(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1), "b": (2, 2)}
    assert one.run().rows_loaded == 2
    one.register.rows |= {"b": (20, 3), "c": (3, 3)}
    assert one.run().rows_loaded == 2
    assert one.rows() == {"a": 1, "b": 20, "c": 3}
    assert (one.run().loads, one.register.reads, one.unloaded()) == ([], 2, [])


def test_extracts_that_were_committed_alone_are_loaded_in_their_order(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1)}
    assert one.run(loads=False).loads == []
    one.register.rows = {"a": (2, 2)}
    assert [each.position_from for each in one.run(loads=False).extracted] == [{"at": 1}]
    loaded = one.run(extracts=False)
    assert ([each.position_to["at"] for each in loaded.manifests], one.rows()) == ([1, 2], {"a": 2})
    one.register.rows = {"b": (3, 3)}
    one.run()
    assert one.rows() == {"a": 2, "b": 3}


def test_a_reload_gives_the_same_rows(table: Callable[[LoadMode], Table]) -> None:
    for mode in ("merge", "replace"):
        one = table(mode)  # type: ignore[arg-type]
        source = None if mode == "merge" else Halves(one.feed, one.register, 1)
        one.register.rows = {"a": (1, 1), "b": (2, 1)}
        one.run(source)
        with one.connection.cursor() as cursor:
            cursor.execute(f"UPDATE RAW_{one.feed.source}.T SET VALUE = 9")
        assert one.ingestion(source).reload().rows_loaded == 2
        assert one.rows() == {"a": 1, "b": 2}
        assert one.run(source, extracts=False).loads == []


def test_a_table_that_was_dropped_is_not_begun_anew_but_loaded_again(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1)}
    one.run()
    with one.connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE RAW_{one.feed.source}.T")
    one.register.rows = {"b": (2, 2)}
    with pytest.raises(LoadRefused, match=f"run --reload --select raw/{one.feed.name}"):
        one.run()
    one.ingestion().reload()
    one.run()
    assert one.rows() == {"a": 1, "b": 2}


def test_a_source_that_is_read_from_the_beginning_takes_the_place_of_all(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1)}
    one.run()
    one.register.rows = {"b": (2, 2)}
    one.run()
    (slice_,) = Changes(one.feed, one.register).plan(since=None, partition=None, unfinished=())
    slice_ = replace(slice_, extract_id="e" * 32, since={"at": 0})
    again = extract_module.extract(one.lake, Changes(one.feed, one.register), slice_, run_id="again")
    rebuilt = rebuild_table(
        lambda: connect(one.cloud), DATABASE, one.feed, InPlaceOfAll([again]), run_id="again", query_tag="test"
    )
    one.lake.mark_loaded([again.key])
    assert (rebuilt.rows_before, rebuilt.rows_after, one.rows()) == (2, 1, {"b": 2})
    one.register.rows = {"c": (3, 3)}
    assert one.run().manifests[0].position_from == {"at": 2}
    assert one.rows() == {"b": 2, "c": 3}


def planted(at: str, one: Table, patch: pytest.MonkeyPatch) -> None:
    """Makes the next run end there."""

    def cut(*_: Any, **__: Any) -> None:
        raise Cut

    def then_cut(function: Any) -> Any:
        def both(*arguments: Any, **named: Any) -> None:
            function(*arguments, **named)
            raise Cut

        return both

    match at:
        case "while reading":
            left = iter([lambda: None, cut])
            one.register.fault = lambda: next(left, lambda: None)()
        case "before the extract is committed":
            patch.setattr(extract_module.Lake, "mark_unloaded", then_cut(extract_module.Lake.mark_unloaded))
        case "before the load":
            patch.setattr(ingest_module, "load_extracts", cut)
        case "after the load":
            patch.setattr(ingest_module, "load_extracts", then_cut(ingest_module.load_extracts))
        case "before the source is told":
            patch.setattr(Source, "settle", cut)
        case "before the lake forgets":
            patch.setattr(extract_module.Lake, "mark_loaded", cut)


@pytest.mark.parametrize("mode", ["merge", "replace"])
@pytest.mark.parametrize(
    "at",
    [
        "while reading",
        "before the extract is committed",
        "before the load",
        "after the load",
        "before the source is told",
        "before the lake forgets",
    ],
)
def test_cut_off_anywhere_the_next_run_finishes(
    table: Callable[[LoadMode], Table], mode: LoadMode, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = table(mode)

    def source(time: int) -> Source:
        return Changes(one.feed, one.register) if mode == "merge" else Halves(one.feed, one.register, time)

    one.register.rows = {"a": (1, 1), "b": (2, 1), "c": (3, 1)}
    one.run(source(1))
    one.register.rows |= {"b": (20, 2), "d": (4, 2), "e": (5, 2)}
    with monkeypatch.context() as patch, pytest.raises(Cut):
        planted(at, one, patch)
        one.run(source(2))
    one.register.fault = lambda: None
    told = one.run(source(3))
    assert one.rows() == one.expected()
    assert one.unloaded() == []
    assert told.manifests, "Dagster is told of what the run before couldn't tell"


def test_a_snapshot_is_loaded_when_its_last_part_is_there(
    table: Callable[[LoadMode], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = table("replace")
    one.register.rows = {"a": (1, 1), "b": (2, 1)}
    one.run(Halves(one.feed, one.register, 1))
    one.register.rows = {"a": (10, 2), "c": (3, 2), "d": (4, 2)}
    planted("while reading", one, monkeypatch)
    with pytest.raises(Cut):
        one.run(Halves(one.feed, one.register, 2))
    one.register.fault = lambda: None
    waiting = one.run(Halves(one.feed, one.register, 3), extracts=False)
    assert (waiting.loads, one.rows()) == ([], {"a": 1, "b": 2})


@pytest.mark.parametrize(("kind", "reads"), [(Halves, 3), (Anew, 4)])
def test_a_source_that_can_resume_reads_only_the_parts_that_are_missing(
    table: Callable[[LoadMode], Table], monkeypatch: pytest.MonkeyPatch, kind: type[Halves], reads: int
) -> None:
    one = table("replace")
    one.register.rows = {"a": (1, 1), "b": (2, 1), "c": (3, 1)}

    def fail_at_the_second_part() -> None:
        if one.register.reads == 2:
            raise Cut

    one.register.fault = fail_at_the_second_part
    monkeypatch.setattr(ingest_module, "READS_AT_ONCE", 1)
    with pytest.raises(Cut):
        one.run(kind(one.feed, one.register, 1))
    one.register.fault = lambda: None
    one.run(kind(one.feed, one.register, 2))
    assert (one.register.reads, one.rows(), one.unloaded()) == (reads, one.expected(), [])


def test_a_slice_that_is_refused_commits_nothing_and_says_why(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1)}

    def refuse() -> None:
        raise Refused("more than half of the rows have no id; ask for a repaired export")

    one.register.fault = refuse
    with pytest.raises(Refused, match="ask for a repaired export"):
        one.run()
    assert one.unloaded() == []
    one.register.fault = lambda: None
    assert one.run().rows_loaded == 1


def test_a_slow_run_does_not_bring_back_what_a_later_one_replaced(table: Callable[[LoadMode], Table]) -> None:
    one = table("replace")
    one.register.rows = {"a": (1, 1)}
    slow = one.run(Halves(one.feed, one.register, 1), loads=False).extracted
    one.lake.mark_loaded(manifest.key for manifest in slow)
    one.register.rows = {"b": (2, 2)}
    one.run(Halves(one.feed, one.register, 2))
    late = load_extracts(one.connection, DATABASE, one.feed, slow, lake=one.lake)
    assert (late.loaded, one.rows()) == ((), {"b": 2})


def test_an_empty_snapshot_empties_the_table(table: Callable[[LoadMode], Table]) -> None:
    one = table("replace")
    one.register.rows = {"a": (1, 1)}
    one.run(Halves(one.feed, one.register, 1))
    one.register.rows = {}
    one.run(Halves(one.feed, one.register, 2))
    assert one.rows() == {}


def test_its_accounts_agree_with_what_was_read(table: Callable[[LoadMode], Table]) -> None:
    one = table("merge")
    one.register.rows = {"a": (1, 1), "b": (2, 2)}
    one.run()
    one.register.rows |= {"b": (3, 3)}
    one.run()
    with one.connection.cursor() as cursor:
        cursor.execute(
            "SELECT SEQUENCE, ROWS_LOADED, POSITION, EFFECTIVE_AT FROM PLATFORM.CURRENT_LOADS WHERE SOURCE = %s"
            " ORDER BY SEQUENCE",
            [one.feed.source],
        )
        found: list[tuple[Any, ...]] = list(cursor.fetchall())
    assert [(int(sequence), int(rows)) for sequence, rows, *_ in found] == [(1, 2), (2, 1)]
    assert [at for *_, at in found] == [NOON + timedelta(minutes=2), NOON + timedelta(minutes=3)]
