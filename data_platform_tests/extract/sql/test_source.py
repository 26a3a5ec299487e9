"""What a table's slices are, and what is refused before anything is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_platform.extract.source import Position, Refused
from data_platform.extract.sql import system
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import SqlTableSpec
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.extract.sql.tables import must_read, read, table_feed
from data_platform_tests.servers.postgres import Database

ID = {"type": "int64", "nullable": False}


def merged(watermark: str | dict[str, Any], overlap: int = 0, **given: Any) -> SqlTableSpec:
    declared: dict[str, Any] = {"type": watermark} if isinstance(watermark, str) else watermark
    return table_feed(
        {"id": ID, "w": {"nullable": False, **declared}},
        key=["id"],
        load_mode="merge",
        watermark={"column": "w", "overlap_minutes": overlap},
        **given,
    )


@pytest.mark.parametrize(
    ("type_", "declared", "first", "second"),
    [
        ("timestamptz", "timestamp", "2026-03-07 10:00:00.000001+00", "2026-03-07 10:00:00.000002+00"),
        (
            "timestamp",
            {"type": "timestamp", "time_zone": "America/New_York", "ambiguous": "latest"},
            "2026-11-01 01:30:00.1",
            "2026-11-01 01:30:00.100001",
        ),
        ("date", "date", "2026-03-07", "2026-03-08"),
        ("bigint", "int64", "9007199254740993", "9007199254740994"),
    ],
)
def test_the_position_is_the_watermark_exactly(
    database: Database, type_: str, declared: Any, first: str, second: str
) -> None:
    database.run(f"CREATE TABLE t (id bigint, w {type_})", f"INSERT INTO t VALUES (1, '{first}')")
    feed = merged(declared)
    one = must_read(database, feed)
    assert one.position == {"column": "w", "watermark": first}
    assert read(database, feed, one.position) is None
    database.run(f"INSERT INTO t VALUES (2, '{second}')")
    two = must_read(database, feed, one.position)
    assert (two.position["watermark"], two.slice.since) == (second, one.position)
    assert [row[0] for row in two.values] == [1, 2]  # the last read's end is included


def test_a_retry_of_the_same_window_is_the_same_extract(database: Database) -> None:
    database.run("CREATE TABLE t (id bigint, w bigint)", "INSERT INTO t VALUES (1, 5)")
    first, again = must_read(database, merged("int64")), must_read(database, merged("int64"))
    assert first.slice.extract_id == again.slice.extract_id
    database.run("INSERT INTO t VALUES (2, 6)")
    assert must_read(database, merged("int64")).slice.extract_id != first.slice.extract_id
    assert must_read(database, merged("int64", drift="ignore")).slice.extract_id != first.slice.extract_id


def test_a_window_holds_what_was_there_when_it_was_planned(database: Database) -> None:
    database.run("CREATE TABLE t (id bigint, w bigint)", "INSERT INTO t VALUES (1, 5)")
    source = TableSource(merged("int64"), lambda: database.url)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    database.run("INSERT INTO t VALUES (2, 6)")
    with source.open(slice_) as reading:
        assert sum(chunk.rows.num_rows for chunk in reading.chunks()) == 1


def test_by_another_watermark_a_table_is_read_from_its_beginning(database: Database) -> None:
    database.run("CREATE TABLE t (id bigint, w bigint)", "INSERT INTO t VALUES (1, 5)")
    assert len(must_read(database, merged("int64"), {"column": "v", "watermark": "2026-01-01"}).values) == 1
    assert len(must_read(database, merged("int64"), {"read_at": "2026-01-01"}).values) == 1


def test_rows_whose_watermark_is_null_or_infinite_are_rejects_and_hide_no_others(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id bigint, w timestamptz)",
        "INSERT INTO t VALUES (1, '2026-03-07'), (2, NULL), (3, 'infinity'), (4, '-infinity')",
    )
    one = must_read(database, merged("timestamp"))
    assert ([row[0] for row in one.values], len(one.rejects)) == ([1], 3)
    database.run("INSERT INTO t VALUES (5, '2026-03-08')")
    two = must_read(database, merged("timestamp"), one.position)
    assert ([row[0] for row in two.values], len(two.rejects)) == ([1, 5], 3)


def test_an_empty_table_has_nothing_new_or_is_an_empty_snapshot(database: Database) -> None:
    database.run("CREATE TABLE t (id bigint, w bigint)")
    assert read(database, merged("int64")) is None
    whole = must_read(database, table_feed({"id": ID, "w": "int64"}))
    assert (whole.values, whole.chunks) == ([], 0)


NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)
OVERLAP = 15
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 9),  # the row
        st.integers(0, 40),  # minutes from the last change to this one
        st.integers(0, OVERLAP),  # minutes from the change to its commit
        st.booleans(),  # whether the table is read then
    ),
    max_size=25,
)


@given(CHANGES)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
def test_changes_that_commit_within_the_overlap_are_all_found(
    database: Database, changes: list[tuple[int, int, int, bool]]
) -> None:
    """Rows are stamped when they change, and seen when that is committed; reads come in between."""
    database.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (id bigint PRIMARY KEY, w timestamptz, v int)")
    feed = table_feed(
        {"id": ID, "w": {"type": "timestamp", "nullable": False}, "v": "int32"},
        key=["id"],
        load_mode="merge",
        watermark={"column": "w", "overlap_minutes": OVERLAP},
    )
    commits: list[tuple[datetime, int, datetime, int]] = []
    reads: list[datetime] = []
    now = NOON
    for number, (row, later, delay, reads_then) in enumerate(changes):
        now += timedelta(minutes=later)
        commits.append((now + timedelta(minutes=delay), row, now, number))
        reads += [now] if reads_then else []
    copied: dict[int, tuple[datetime, int]] = {}
    position: Position | None = None

    def take() -> None:
        nonlocal position
        found = read(database, feed, position)
        if found is not None:
            position = found.position
            copied.update({key: (at, value) for key, at, value in found.values})

    events = [(at, 0, commit) for commit in commits for at in (commit[0],)] + [(at, 1, None) for at in reads]
    for _, _, commit in sorted(events, key=lambda event: event[:2]):
        if commit is None:
            take()
            continue
        _, row, at, number = commit
        database.run(
            f"INSERT INTO t VALUES ({row}, '{at.isoformat()}', {number}) ON CONFLICT (id) DO UPDATE SET"
            " w = excluded.w, v = excluded.v WHERE excluded.v > t.v"
        )
    database.run("INSERT INTO t VALUES (99, '2030-01-01', 0)")  # whatever committed last is found with the next change
    take()
    assert copied == {key: (at, value) for key, at, value in database.run("SELECT * FROM t")}


@pytest.mark.parametrize(
    ("table", "columns", "given", "said"),
    [
        (None, {"id": "int64"}, {}, "there is no table public.t in the database of the connection records"),
        ("id bigint", {"id": "int64", "v": "string"}, {}, "the column v is not in the table"),
        ("id bigint, v text", {"id": "int64"}, {}, "columns that the contract doesn't name: v; add them"),
        ("id text", {"id": "int64"}, {}, "the column id is text, and the contract says int64, which reads an integer"),
        ("n numeric(9,2)", {"n": "int32"}, {}, r"n is numeric\(9,2\), and the contract says int32"),
        ("n numeric(9,2)", {"n": "float"}, {}, "double precision or real"),
        ("n double precision", {"n": "decimal(9,2)"}, {}, "numeric, money or an integer type"),
        ("n int8", {"n": "float"}, {}, "double precision or real"),
        ("w timestamp", {"w": "timestamp"}, {}, "w is timestamp without time zone, .*`time_zone` in the contract"),
        ("w timetz", {"w": "time"}, {}, "time without time zone"),
        ("a int[]", {"a": "int64"}, {}, r"a is integer\[\], and the contract says int64"),
        ("p point", {"p": "geometry(4326)"}, {}, "p is point, .*PostGIS's geometry"),
        ("x text, y text", {"x": "int64", "y": "date"}, {}, "x is text.*; the column y is text"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused_before_it_is_read(
    database: Database, table: str | None, columns: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    if table:
        database.run(f"CREATE TABLE t ({table})")
    with pytest.raises(Refused, match=rf"records/t: .*{said}"):
        read(database, table_feed(columns, **given))


def test_a_new_column_is_added_as_text_or_left_out(database: Database) -> None:
    database.run('CREATE TABLE t (id bigint, "Pump Type" int)', "INSERT INTO t VALUES (1, 7)")
    added = must_read(database, table_feed({"id": ID}, drift="evolve"))
    assert (added.contract.columns[-1].name, added.values) == ("pump_type", [(1, "7")])
    assert must_read(database, table_feed({"id": ID}, drift="ignore")).values == [(1,)]


def test_new_columns_that_would_have_one_name_are_refused(database: Database) -> None:
    database.run('CREATE TABLE t (id bigint, "Pump Type" int, "pump-type" int)')
    with pytest.raises(Refused, match="'Pump Type' and 'pump-type' would both be the column pump_type"):
        read(database, table_feed({"id": ID}, drift="evolve"))


def test_a_read_with_more_rejects_than_the_limit_is_not_kept(database: Database) -> None:
    database.run("CREATE TABLE t (id bigint)", "INSERT INTO t VALUES (1), (2), (NULL)")
    assert len(must_read(database, table_feed({"id": ID})).rejects) == 1
    with pytest.raises(Refused, match=r"1 of 3 rows break the contract; the feed allows 0 \(the first: id: is null"):
        read(database, table_feed({"id": ID}, reject_limit={"rows": 0}))
    database.run("DELETE FROM t WHERE id IS NOT NULL")
    with pytest.raises(Refused, match="all 1 rows break the contract"):
        read(database, table_feed({"id": ID}))


def test_names_are_taken_as_they_are_written(database: Database) -> None:
    database.run(
        'CREATE SCHEMA "Old ""Register"""',
        'CREATE VIEW "Old ""Register"""."Permits; --" AS SELECT 1::bigint AS "Permit %s No."',
    )
    feed = table_feed({"id": {**ID, "source_name": "Permit %s No."}})
    feed = feed.model_copy(update={"from_": 'Old "Register".Permits; --'})
    assert must_read(database, feed).values == [(1,)]


def test_a_watermark_may_have_any_name(database: Database) -> None:
    database.run('CREATE TABLE t (id bigint, "100%s" bigint)', "INSERT INTO t VALUES (1, 5)")
    feed = merged({"type": "int64", "source_name": "100%s"})
    one = must_read(database, feed)
    assert read(database, feed, one.position) is None
    database.run("INSERT INTO t VALUES (2, 6)")
    assert must_read(database, feed, one.position).values == [(1, 5), (2, 6)]


def test_a_table_that_may_not_be_read_is_refused(database: Database, postgres_server: str) -> None:
    database.run(
        "CREATE TABLE t (id bigint)", "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN PASSWORD 'x'"
    )
    stranger = Database(re.sub("//[^@]*@", "//stranger:x@", database.url))
    with pytest.raises(Refused, match=r'may not read public.t; GRANT SELECT ON "public"."t"'):
        read(stranger, table_feed({"id": ID}))
    database.run("DROP ROLE stranger")


def test_a_server_that_is_not_up_yet_is_tried_again(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    database.run("CREATE TABLE t (id bigint)")
    connect, waited = psycopg2.connect, []

    def down(*arguments: Any, **options: Any) -> Any:
        if len(waited) < 2:
            raise psycopg2.OperationalError("connection refused")
        return connect(*arguments, **options)

    monkeypatch.setattr(psycopg2, "connect", down)
    monkeypatch.setattr(system.time, "sleep", waited.append)
    assert must_read(database, table_feed({"id": ID})).values == []
    assert waited == [1.0, 4.0]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://reader:planted%zz@127.0.0.1/x", "the connection's URL can't be read; percent-encode"),
        ("{server}nowhere", 'database "nowhere" does not exist'),
        ("{stranger}postgres", "password authentication failed"),
    ],
)
def test_a_connection_that_fails_is_explained_at_once_and_without_its_password(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setattr(system.time, "sleep", lambda seconds: pytest.fail("another try changes nothing"))
    stranger = re.sub("//[^@]*@", "//postgres:planted@", postgres_server)
    url = url.format(server=postgres_server, stranger=stranger)
    with pytest.raises(DatabaseFailed, match=rf"records/t: the connection records: .*{said}") as error:
        read(Database(url), table_feed({"id": ID}))
    assert "planted" not in str(error.value)


def test_a_read_ends_the_query_when_nobody_reads_on(database: Database) -> None:
    database.run("CREATE TABLE t AS SELECT i::bigint AS id FROM generate_series(1, 500000) i")
    source = TableSource(table_feed({"id": "int64"}), lambda: database.url)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with source.open(slice_) as reading:
        next(iter(reading.chunks()))
    name = database.url.rsplit("/", 1)[1]
    left = f"SELECT query FROM pg_stat_activity WHERE datname = '{name}' AND application_name LIKE 'data-platform%'"
    assert wait_for(lambda: database.run(left) == [], 20, "the query ends")
