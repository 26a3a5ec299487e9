"""Load mode `history`: the table has the versions that follow from its snapshots, in whatever order they are loaded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snowflake.connector import SnowflakeConnection

from data_platform.automation.feed_checks import rows_to_check
from data_platform.extract.ingest import Ingestion
from data_platform.extract.source import Chunk, Position, Slice, Source, extract_id_of
from data_platform.feeds.spec import FeedSpec, LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.lake.writer import REJECTS_SCHEMA
from data_platform.warehouse.load import LoadResult, load_extracts
from data_platform.warehouse.load_rules import LoadRefused
from data_platform.warehouse.policy import Decision, InPlaceOfAll
from data_platform.warehouse.rebuild import rebuild_table
from data_platform.warehouse.schema import apply_schema, plan_changes, plan_schema
from data_platform.warehouse.table import TableRef, raw_table
from data_platform_tests.warehouse.in_process import DATABASE, InProcess, InProcessCursor, in_process

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "type": "string", "nullable": False},
    {"name": "value", "type": "int32"},
]


class Version(NamedTuple):
    """A row of the table; times as days."""

    id: str
    value: Any
    valid_from: int
    valid_to: int | None
    first_seen: int
    last_seen: int | None
    deleted: bool


class Snapshot(NamedTuple):
    """{id: value}, and how many rows were rejects."""

    rows: Mapping[str, Any]
    rejects: int = 0


def expected(snapshots: Mapping[int, Snapshot]) -> set[Version]:
    """The model: what each key was in the snapshots that tell, in runs of equal values."""
    found = set()
    for key in {key for snapshot in snapshots.values() for key in snapshot.rows}:
        tells = [
            (day, snapshot.rows.get(key, "gone"))
            for day, snapshot in sorted(snapshots.items())
            if key in snapshot.rows or not snapshot.rejects
        ]
        runs = [(value, [day for day, _ in run]) for value, run in groupby(tells, key=lambda one: one[1])]
        first_seen = min(days[0] for value, days in runs if value != "gone")
        for place, (value, days) in enumerate(runs):
            following = runs[place + 1] if place + 1 < len(runs) else None
            if value != "gone":
                last_seen = None if following is None and days[-1] == max(snapshots) else days[-1]
                ended = None if following is None else following[1][0]
                gone = following is not None and following[0] == "gone"
                found.add(Version(key, value, days[0], ended, first_seen, last_seen, gone))
    return found


class Change:
    """A policy that loads and takes out what it is told."""

    def __init__(self, load: Sequence[Manifest], remove: set[str]) -> None:
        self._decision = Decision(load=list(load), remove=remove)

    def decide(self, cursor: object, known: Mapping[str, int]) -> Decision:
        return self._decision

    def record(self, cursor: object) -> None:
        pass


POINT = bytes.fromhex("0101000000000000000000f03f0000000000000040")
MIDNIGHT = datetime(2026, 3, 1, 5, tzinfo=UTC)


def time_of(day: int) -> datetime:
    return MIDNIGHT + timedelta(days=day)


@dataclass
class History:
    """A table of its own, and the extracts that it has, by day."""

    connection: InProcess
    lake: Lake
    columns: list[dict[str, Any]] = field(default_factory=lambda: COLUMNS)
    extracts: dict[int, Manifest] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    mode: LoadMode = "history"
    source: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.prepare()

    @property
    def feed(self) -> FeedSpec:
        contract = {"columns": self.columns, "key": ["id"]}
        return FeedSpec.of({"source": self.source, "table": "t", "contract": contract, "load_mode": self.mode})

    @property
    def table(self) -> TableRef:
        return raw_table(DATABASE, self.source, "t")

    @property
    def sql_connection(self) -> SnowflakeConnection:
        return cast("SnowflakeConnection", self.connection)

    def prepare(self) -> None:
        apply_schema(self.sql_connection, plan_changes(self.table, (), self.feed.table_columns))

    def extract(self, day: int, rows: Sequence[Mapping[str, Any]], rejects: int = 0, **manifest: Any) -> Manifest:
        schema = self.feed.contract.arrow_schema
        bad = [{"record_number": 1, "column_name": "value", "reason": "not a number", "raw_text": "x"}] * rejects
        return self.lake.write_extract(
            ExtractKey(self.source, "t", uuid.uuid4().hex),
            schema,
            [pa.RecordBatch.from_pylist(list(rows), schema=schema)] if rows else [],
            rejects=[pa.RecordBatch.from_pylist(bad, schema=REJECTS_SCHEMA)] if bad else [],
            contract_hash=self.feed.contract.hash,
            effective_at=time_of(day),
            **manifest,
        )

    def load(self, new: Mapping[int, Snapshot], without: Sequence[int] = ()) -> LoadResult:
        """Loads these days' snapshots, each in the place of the one that its day has; takes out those of `without`."""
        loaded = {
            day: self.extract(day, [{"id": key, "value": value} for key, value in rows.items()], rejects)
            for day, (rows, rejects) in new.items()
        }
        remove = {self.extracts[day].extract_id for day in {*loaded, *without} & self.extracts.keys()}
        self.extracts = {day: each for day, each in (self.extracts | loaded).items() if day not in without}
        self.snapshots = {day: each for day, each in (self.snapshots | new).items() if day not in without}
        return self.run(list(loaded.values()), Change(list(loaded.values()), remove))

    def run(self, manifests: Sequence[Manifest], policy: Any = None, **options: Any) -> LoadResult:
        return load_extracts(
            self.sql_connection, DATABASE, self.feed, manifests, lake=self.lake, policy=policy, **options
        )

    def rebuild(self, manifests: Sequence[Manifest]) -> None:
        rebuild_table(
            lambda: cast("SnowflakeConnection", InProcess(self.connection.instance)),
            DATABASE,
            self.feed,
            InPlaceOfAll(manifests),
            run_id="run",
            query_tag="test",
        )

    def changed(self) -> int:
        """How many rows of the table the statements since the last call have written."""
        writes = tuple(f"{verb} {self.table.sql} " for verb in ("INSERT INTO", "MERGE INTO", "DELETE FROM", "UPDATE"))
        counts = [rows or 0 for sql, rows in self.connection.statements if sql.startswith(writes)]
        self.connection.statements.clear()
        return sum(counts)

    def versions(self) -> set[Version]:
        """Fails where a version isn't of the extract that first showed it."""
        columns = "ID, VALUE, _VALID_FROM, _VALID_TO, _FIRST_SEEN, _LAST_SEEN, _DELETED, _EXTRACT_ID"
        found = self.connection.cursor().execute(f'SELECT {columns} FROM RAW_{self.source}."T"').fetchall()
        made = [Version(row[0], row[1], *map(day_of, row[2:6]), row[6]) for row in found]
        for version, row in zip(made, found, strict=True):
            assert row[7] == self.extracts[version.valid_from].extract_id
        assert len(set(made)) == len(made), f"doubled: {made}"
        return set(made)


def day_of(time: datetime | None) -> Any:
    return None if time is None else (time - MIDNIGHT) / timedelta(days=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, Lake]]:
    with in_process(tmp_path_factory.mktemp("history")) as made:
        yield made


@pytest.fixture
def history(engine: tuple[InProcess, Lake]) -> History:
    return History(*engine)


SNAPSHOTS = st.builds(
    Snapshot,
    rows=st.dictionaries(st.sampled_from("ab"), st.sampled_from([None, 1]), max_size=2),
    rejects=st.sampled_from([0, 0, 1]),
)
DAYS = st.integers(0, 4)
LOADS = st.dictionaries(DAYS, SNAPSHOTS, min_size=2, max_size=4)
STEPS = st.one_of(
    st.tuples(st.just("load"), LOADS),
    st.tuples(st.just("correct"), st.dictionaries(DAYS, SNAPSHOTS, min_size=1, max_size=1)),
    st.tuples(st.just("take out"), DAYS),
    st.tuples(st.sampled_from(["load again", "reload"]), DAYS),
)


@settings(max_examples=30, deadline=None)
@given(first=LOADS, steps=st.lists(STEPS, min_size=1, max_size=4))
def test_the_versions_follow_from_the_snapshots_in_whatever_order_they_are_loaded(
    engine: tuple[InProcess, Lake], first: dict[int, Snapshot], steps: list[tuple[str, Any]]
) -> None:
    history = History(*engine)
    history.load(first)
    assert history.versions() == expected(history.snapshots)
    for what, given_ in steps:
        if what in ("load", "correct"):
            history.load(given_)
        elif what == "reload" and history.extracts:
            history.run(list(history.extracts.values()), reload=True)
        elif given_ in history.extracts:
            if what == "take out":
                history.load({}, without=[given_])
            else:
                assert history.run([history.extracts[given_]]).loaded == ()
        assert history.versions() == expected(history.snapshots), what


def test_a_row_that_changes_and_changes_back_has_three_versions(history: History) -> None:
    for day, value in enumerate([1, 2, 1, 1]):
        history.load({day: Snapshot({"a": value})})
    assert history.versions() == {
        Version("a", 1, 0, 1, 0, 0, False),
        Version("a", 2, 1, 2, 0, 1, False),
        Version("a", 1, 2, None, 0, None, False),
    }


def test_a_deletion_ends_a_version_and_a_reappearance_begins_one(history: History) -> None:
    for day, rows in enumerate([{"a": 1, "b": 1}, {"b": 1}, {"b": 1}, {"a": 1, "b": 1}]):
        history.load({day: Snapshot(rows)})
    assert history.versions() == {
        Version("a", 1, 0, 1, 0, 0, True),
        Version("a", 1, 3, None, 0, None, False),
        Version("b", 1, 0, None, 0, None, False),
    }


def test_an_empty_snapshot_ends_every_version(history: History) -> None:
    history.load({0: Snapshot({"a": 1})})
    history.load({1: Snapshot({})})
    assert history.versions() == {Version("a", 1, 0, 1, 0, 0, True)}


def test_a_load_writes_the_versions_that_change_and_no_other_row(history: History) -> None:
    rows = {f"row {number}": number for number in range(1_000)}
    assert history.load({0: Snapshot(rows)}).versions == 1_000
    history.changed()
    result = history.load({1: Snapshot(rows | {"row 7": -7, "new": 1})})
    assert (result.rows_loaded, result.versions) == (1_001, 2)
    assert history.changed() == 3  # one version ended, two began
    history.load({2: Snapshot(rows | {"row 7": -7, "new": 1})})
    assert history.changed() == 0


def test_a_snapshot_with_rejects_ends_no_version_of_a_row_that_it_lacks(history: History) -> None:
    history.load({0: Snapshot({"a": 1, "b": 1})})
    history.load({1: Snapshot({"b": 2}, rejects=1)})
    still_there = Version("a", 1, 0, None, 0, 0, False)
    ended, begun = Version("b", 1, 0, 1, 0, 0, False), Version("b", 2, 1, None, 0, None, False)
    assert history.versions() == {still_there, ended, begun}
    history.load({2: Snapshot({"b": 2})})
    assert history.versions() == {Version("a", 1, 0, 2, 0, 0, True), ended, begun}


def test_a_row_that_is_seen_again_after_an_incomplete_snapshot_is_in_the_latest_one(history: History) -> None:
    history.load({0: Snapshot({"a": 1}), 1: Snapshot({}, rejects=1)})
    assert history.versions() == {Version("a", 1, 0, None, 0, 0, False)}
    history.load({2: Snapshot({"a": 1})})
    assert history.versions() == {Version("a", 1, 0, None, 0, None, False)}


def test_a_late_snapshot_with_rejects_knows_which_rows_the_one_before_showed(history: History) -> None:
    history.load({0: Snapshot({"a": 1}), 1: Snapshot({}, rejects=1), 3: Snapshot({"a": 2})})
    history.load({2: Snapshot({}, rejects=1)})
    assert Version("a", 1, 0, 3, 0, 0, False) in history.versions()


def test_a_snapshot_that_is_taken_out_shows_no_row_any_more(history: History) -> None:
    history.load({0: Snapshot({"a": 1}), 1: Snapshot({"a": 1}, rejects=1), 2: Snapshot({}, rejects=1)})
    assert history.versions() == {Version("a", 1, 0, None, 0, 1, False)}
    history.load({}, without=[1])
    assert history.versions() == {Version("a", 1, 0, None, 0, 0, False)}


def test_a_late_snapshot_splits_a_version(history: History) -> None:
    history.load({0: Snapshot({"a": 1})})
    history.load({2: Snapshot({"a": 1})})
    assert history.versions() == {Version("a", 1, 0, None, 0, None, False)}
    history.load({1: Snapshot({"a": 2})})
    assert history.versions() == {
        Version("a", 1, 0, 1, 0, 0, False),
        Version("a", 2, 1, 2, 0, 1, False),
        Version("a", 1, 2, None, 0, None, False),
    }


def test_a_correction_of_a_late_day_writes_only_what_has_changed_since(history: History) -> None:
    rows = {f"row {number}": number for number in range(1_000)}
    for day in range(4):
        history.load({day: Snapshot(rows | {"row 7": -day})})
    history.changed()
    history.load({2: Snapshot(rows | {"row 8": -8})})
    assert history.versions() == expected(history.snapshots)
    assert history.changed() < 20


def test_the_parts_of_a_snapshot_are_one(history: History) -> None:
    history.load({0: Snapshot({"a": 1, "b": 1, "c": 1})})
    parts = [history.extract(1, [{"id": key, "value": 1}], snapshot_id="s", parts=2) for key in ("a", "b")]
    history.run(parts)
    assert {version for version in history.versions() if version.valid_to is not None} == {
        Version("c", 1, 0, 1, 0, 0, True)
    }


def test_a_key_that_a_snapshot_repeats_has_one_version_and_is_counted(history: History) -> None:
    twice = [{"id": "a", "value": 2}, {"id": "a", "value": 1}, {"id": "b", "value": 1}, {"id": "b", "value": 1}]
    for day, rows in enumerate([twice, twice[::-1]]):
        history.extracts[day] = history.extract(day, rows)
        assert history.run([history.extracts[day]]).repeated_keys == 2
    assert history.versions() == {Version("a", 1, 0, None, 0, None, False), Version("b", 1, 0, None, 0, None, False)}


def test_a_later_snapshot_that_the_lake_has_lost_is_named_and_nothing_changes(history: History) -> None:
    history.load({0: Snapshot({"a": 1})})
    history.load({2: Snapshot({"a": 2})})
    before, lost = history.versions(), history.extracts[2]
    history.lake.delete([lost.key.manifest_path])
    with pytest.raises(LoadRefused, match=f"the lake no longer has extract {lost.extract_id}"):
        history.run([history.extract(1, [{"id": "a", "value": 3}])])
    assert history.versions() == before


class Cut(Exception):
    """The fault that a test plants."""


def test_cut_off_at_any_statement_a_load_has_done_nothing_or_everything(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.load({day: Snapshot({"a": day, "b": 1}) for day in (0, 2, 3)})
    late = history.extracts[1] = history.extract(1, [{"id": "a", "value": 9}])
    before, complete = (expected(history.snapshots | extra) for extra in ({}, {1: Snapshot({"a": 9})}))
    real, executed = InProcessCursor.execute, list[str]()
    while "COMMIT" not in executed[:-1]:
        reached = len(executed)
        executed.clear()

        def execute(
            cursor: InProcessCursor, sql: str, *rest: Any, reached: int = reached, **options: Any
        ) -> InProcessCursor:
            executed.append(sql)
            if len(executed) > reached and sql != "ROLLBACK":
                raise Cut
            return real(cursor, sql, *rest, **options)

        with monkeypatch.context() as patch, pytest.raises(Cut):
            patch.setattr(InProcessCursor, "execute", execute)
            history.run([late])
        if executed[-1] == "ROLLBACK":
            executed.pop()
        assert history.versions() == (complete if "COMMIT" in executed[:-1] else before), executed
    assert len(executed) > 20  # statements were cut, the transaction's every one among them
    assert history.run([late]).loaded == ()
    assert history.versions() == complete


def test_a_table_that_another_load_mode_has_filled_is_refused_until_it_is_made_anew(history: History) -> None:
    history.mode = "append"
    history.load({0: Snapshot({"a": 1})})
    history.mode = "history"
    with pytest.raises(LoadRefused, match="were loaded with load_mode append, and have no versions; run"):
        history.load({1: Snapshot({"a": 1})})
    history.rebuild([history.extracts[0]])
    history.load({1: Snapshot({"a": 1})})
    assert history.versions() == {Version("a", 1, 0, None, 0, None, False)}


def test_a_table_that_is_made_anew_has_the_same_versions(history: History) -> None:
    for day, rows in enumerate([{"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}, {"a": 1}]):
        history.load({day: Snapshot(rows, rejects=day % 3)})
    made = history.versions()
    history.connection.cursor().execute(f"DELETE FROM {history.table.sql}")
    history.rebuild(list(history.extracts.values()))
    assert history.versions() == made


VALUES: list[tuple[str, Any, Any]] = [
    ("string", "a", "a "),
    ("int64", 0, None),
    ("decimal(38,9)", Decimal("0.000000001"), Decimal("0.000000002")),
    ("float", float("nan"), 0.0),
    ("float", 0.1 + 0.2, 0.3),
    ("boolean", False, None),
    ("date", date(2026, 3, 1), date(2026, 3, 2)),
    ("time", time(1, 2, 3, 4), time(1, 2, 3, 5)),
    ("timestamp", MIDNIGHT, MIDNIGHT + timedelta(microseconds=1)),
    ("binary", b"\0a", b"\0b"),
    ("json", '{"a": [1, null], "b": "x"}', '{"a": [1], "b": "x"}'),
    ("json", "null", None),
    ("geometry(4326)", POINT, POINT[:-1] + b"\x41"),
]


def test_a_value_of_any_type_is_the_same_or_another(engine: tuple[InProcess, Lake]) -> None:
    """A row for each type, with a value in that type's column."""
    columns = [COLUMNS[0], *({"name": f"v{place}", "type": type_} for place, (type_, *_) in enumerate(VALUES))]
    history = History(*engine, columns=columns)

    def changed(day: int, values: Sequence[Any]) -> set[str]:
        rows = [{"id": str(place), f"v{place}": value} for place, value in enumerate(values)]
        history.run([history.extract(day, rows)])
        found = history.connection.cursor().execute(
            f"SELECT ID FROM {history.table.sql} WHERE _VALID_FROM = '{time_of(day).isoformat()}'::TIMESTAMP_TZ"
        )
        return {id_ for (id_,) in found.fetchall()}

    _, one, other = (list(values) for values in zip(*VALUES, strict=True))
    every = {str(place) for place in range(len(VALUES))}
    assert [changed(day, values) for day, values in enumerate([one, one, other, other, one])] == [
        every, set(), every, set(), every,
    ]  # fmt: skip


def test_a_column_that_is_added_or_renamed_changes_only_rows_with_a_value_in_it(history: History) -> None:
    history.load({0: Snapshot({"a": 1, "b": 1})})
    table = history.table
    history.columns = [COLUMNS[0], {"name": "amount", "type": "int32", "renamed_from": "value"}]
    history.columns += [{"name": "note", "type": "string"}]
    plan = plan_schema(history.sql_connection, table, history.feed.table_columns)
    apply_schema(history.sql_connection, plan)
    rows = [{"id": "a", "amount": 1, "note": "new"}, {"id": "b", "amount": 1, "note": None}]
    assert history.run([history.extract(1, rows)]).versions == 1
    found = history.connection.cursor().execute(
        f"SELECT ID, AMOUNT, NOTE FROM {table.sql} WHERE _VALID_TO IS NULL ORDER BY ID"
    )
    assert found.fetchall() == [("a", 1, "new"), ("b", 1, None)]


class Whole(Source):
    """A database's table, whose rows are {id: value} when it is read."""

    def __init__(self, feed: FeedSpec, rows: Mapping[str, Any], day: int) -> None:
        super().__init__(feed)
        self.contract = feed.contract
        self._rows, self._day = rows, day

    def plan(self, **_: Any) -> list[Slice]:
        return [Slice(extract_id_of(self.feed.name, self._day), effective_at=time_of(self._day))]

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[Any]:
        yield self

    def chunks(self) -> Iterator[Chunk]:
        rows = [{"id": key, "value": value} for key, value in self._rows.items()]
        yield Chunk(pa.RecordBatch.from_pylist(rows, schema=self.contract.arrow_schema))

    def position(self) -> Position:
        return {"read_at": time_of(self._day).isoformat()}


def ingestion(history: History, rows: Mapping[str, Any], day: int) -> Ingestion:
    """Of a day's read of the whole table."""
    return Ingestion(
        Whole(history.feed, rows, day),
        lake=history.lake,
        connect=lambda: cast("SnowflakeConnection", InProcess(history.connection.instance)),
        database=DATABASE,
        run_id="run",
    )


def test_a_lost_table_is_refused_until_its_snapshots_are_loaded_again_whichever_are_named(history: History) -> None:
    for day, rows in enumerate([{"a": 1}, {"a": 2}]):
        made = ingestion(history, rows, day)
        result = made.run()
        made.settle(result)
        assert (result.rows_loaded, result.versions) == (1, 1)
        history.extracts[day] = result.manifests[0]
    before = history.versions()
    history.connection.cursor().execute(f"DROP TABLE {history.table.sql}")
    with pytest.raises(LoadRefused, match="is gone, and the ledger has 2 extracts in it"):
        ingestion(history, {"a": 2}, 2).run()
    assert ingestion(history, {}, 3).reload("2026-03-02").table_rows == 2
    assert history.versions() == before
    assert ingestion(history, {}, 3).run().versions == 0  # the snapshot that was refused, and this one
    history.extracts[2] = history.extracts[1]
    assert {version.valid_to for version in history.versions()} == {1, 3}


def test_a_key_is_unique_among_current_versions(history: History) -> None:
    for day, value in enumerate([1, 2]):
        history.load({day: Snapshot({"a": value})})
    sql = history.feed.contract.violation_counts_sql(rows_to_check(history.feed, history.table))
    assert history.connection.cursor().execute(sql).fetchall() == [(1, 0, 0)]
    history.connection.cursor().execute(f"UPDATE {history.table.sql} SET _VALID_TO = NULL")
    assert history.connection.cursor().execute(sql).fetchall() == [(2, 0, 1)]
