"""What is PostgreSQL's own, and PostGIS's: each value is in the extract as the database says, or a reject says why."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_platform.extract.source import Refused
from data_platform.extract.sql.postgres.session import PostgresSession
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn
from data_platform_tests.extract.sql.tables import must_read, table_feed
from data_platform_tests.servers.postgis import Postgis, postgis, postgis_server
from data_platform_tests.servers.postgres import Database

__all__ = ["postgis", "postgis_server"]

SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET intervalstyle = 'iso_8601'",
    "SET DateStyle = 'ISO, YMD'",
    "SET extra_float_digits = 1",
)


def discovered(database: Database) -> SqlTableSpec:
    """The feed of the table `t` that discovery declares."""
    with PostgresSession.opened(database.url, "test") as session:
        table = session.tables([(None, "t")], ())[None, "t"]
        found: list[CatalogColumn] = [session.described(column, "UTC") for column in table.columns.values()]
    return table_feed({column.name: {"type": column.type, **column.options} for column in found})


numbers = st.decimals("-1e12", "1e12", places=3).map(str)
whole = st.integers(-(2**31), 2**31 - 1).map(str)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
stamps = st.one_of(
    st.datetimes().map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")),
    st.sampled_from(["infinity", "-infinity", "0044-03-15 12:00:00 BC", "294276-12-31 23:59:59.999999"]),
)
intervals = st.tuples(whole, st.integers(-999, 999), st.integers(-(10**9), 10**9)).map(
    lambda parts: f"{parts[0]} days {parts[1]} months {parts[2]} seconds"
)


def ranges(values: st.SearchStrategy[str], order: Any) -> st.SearchStrategy[str]:
    pair = st.tuples(values, values, st.sampled_from("[("), st.sampled_from("])")).map(
        lambda parts: f"{parts[2]}{min(parts[:2], key=order)},{max(parts[:2], key=order)}{parts[3]}"
    )
    return st.one_of(pair, st.sampled_from(["empty", "(,)"]))


def arrays(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    def nested(rows: list[list[Any]]) -> str:
        width = min(map(len, rows), default=0)
        cut = [row[:width] for row in rows]
        return json.dumps(cut if width else [], ensure_ascii=False).replace("[", "{").replace("]", "}")

    return st.lists(st.lists(values, min_size=1, max_size=3), max_size=3).map(nested)


words = st.text(st.characters(categories=["Lu", "Ll", "Nd", "Zs"]), max_size=6)
TYPES: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "free": ("numeric", st.one_of(numbers, st.sampled_from(["NaN", "Infinity", "1e-100", "1e100", "-0.00"]))),
    "money": ("money", st.decimals("-92233720368547758", "92233720368547758", places=2).map(str)),
    "span": ("interval", intervals),
    "clock": ("timetz", st.times().map(lambda at: f"{at}+05:30")),
    "host": ("inet", st.ip_addresses().map(str)),
    "bits": ("varbit", st.text("01", max_size=20)),
    "code": ("uuid", st.uuids().map(str)),
    "numbers": ("numrange", ranges(numbers, Decimal)),
    "counts": ("int4multirange", st.sampled_from(["{}", "{[1,3),[5,9)}", "{(,)}"])),
    "during": ("tstzrange", st.sampled_from(["[2026-03-08 01:00+00,infinity)", "empty", "(,2026-01-01)"])),
    "moods": ("mood", st.sampled_from(["sad", "très gai"])),
    "cents": ("cents", whole),
    "grid": ("int[]", arrays(st.integers(-(2**31), 2**31 - 1))),
    "tags": ("text[]", arrays(words)),
    "prices": ("numeric[]", arrays(st.sampled_from([1, -2, 3]))),
    "stamps": ("timestamp[]", st.lists(stamps, max_size=3).map(lambda each: json.dumps(each).replace("[", "{"))),
    "pair": ("pair", st.tuples(whole, words).map(lambda each: f'({each[0]},"{each[1]}")')),
    "store": (
        "hstore",
        st.dictionaries(words, words, max_size=2).map(lambda d: ", ".join(f'"{k}"=>"{v}"' for k, v in d.items())),
    ),
    "paper": (
        "jsonb",
        st.recursive(
            st.none() | st.booleans() | st.integers() | names.filter(lambda s: "\\u0000" not in json.dumps(s)),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        ).map(json.dumps),
    ),
}


@given(st.data())
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # not shrink: each example is a table
)
def test_what_discovery_declares_holds_each_value_exactly(postgis: Database, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for _, values in TYPES.values())), max_size=20))
    rows = [
        tuple(
            value and value.replace("]", "}") if name == "stamps" else value
            for name, value in zip(TYPES, row, strict=True)
        )
        for row in rows
    ]
    postgis.run(
        "DROP TABLE IF EXISTS t",
        "DROP TYPE IF EXISTS mood, pair",
        "DROP DOMAIN IF EXISTS cents",
        "CREATE TYPE mood AS ENUM ('sad', 'très gai')",
        "CREATE TYPE pair AS (x int, y text)",
        "CREATE DOMAIN cents AS int",
        f"CREATE TABLE t ({', '.join(f'{name} {type_}' for name, (type_, _) in TYPES.items())})",
    )
    rows.append((None,) * len(TYPES))
    postgis.insert("t", rows, f"({', '.join(f'%s::text::{type_}' for type_, _ in TYPES.values())})")
    feed = discovered(postgis)
    found = must_read(postgis, feed)
    assert found.rejects == []
    texts = [f"to_jsonb({c.name})::text" if c.type == "json" else f"{c.name}::text" for c in feed.contract.columns]
    texts[1], texts[list(TYPES).index("cents")] = "money::numeric", "cents"
    assert found.values == postgis.run(*SETTINGS, f"SELECT {', '.join(texts)} FROM t")


def test_special_values_are_rejects_or_null_as_the_column_says(postgis: Database) -> None:
    postgis.run(
        "CREATE TABLE t (id int, n numeric, i numeric, f float8, d date, w timestamptz)",
        "INSERT INTO t VALUES (1, 1.5, 7, 0.5, '2026-03-08', '2026-03-08 00:00+00'),"
        " (2, 'NaN', 'NaN', 'NaN', 'infinity', 'infinity'),"
        " (3, '-Infinity', 'Infinity', '-Infinity', '-infinity', '-infinity'), (4, 1e9, 1, 1, '0044-03-15 BC', NULL)",
    )
    types = {"n": "decimal(9,2)", "i": "int64", "f": "float", "d": "date", "w": "timestamp"}
    feed = table_feed(
        {"id": "int32", **{name: {"type": type_, "special_values": "null"} for name, type_ in types.items()}}
    )
    found = must_read(postgis, feed)
    assert [row[1:] for row in found.values[1:]] == [(None,) * 5] * 2
    assert found.values[0][1:4] == (Decimal("1.50"), 7, 0.5)
    ((number, reason),) = [(reject["record_number"], reject["reason"]) for reject in found.rejects]
    assert (number, "n: '1000000000' has more than 7 digits" in reason, "d: '0044-03-15 BC'" in reason) == (
        4,
        True,
        True,
    )
    rejecting = must_read(postgis, table_feed({"id": "int32", **types}))
    assert [reject["record_number"] for reject in rejecting.rejects] == [2, 3, 4]


def test_shapes_are_well_known_binary_in_their_srid(postgis: Database) -> None:
    postgis.run(
        "CREATE TABLE t (id int, p geometry(Point,4326), g geography, a geometry, z geometry(PointZ,2263))",
        """INSERT INTO t VALUES
             (1, 'SRID=4326;POINT(1 2)', 'POINT(3 4)', 'SRID=2263;LINESTRING(0 0,1 1)', 'SRID=2263;POINT Z(1 2 3)'),
             (2, NULL, NULL, NULL, NULL),
             (3, 'SRID=4326;POINT EMPTY', 'POLYGON((0 0,1 0,1 1,0 0))', 'POINT(9 9)', NULL)""",
    )
    feed = discovered(postgis)
    assert [column.type for column in feed.contract.columns[1:]] == [
        *("geometry(4326)", "geometry(4326)", "binary", "binary")
    ]
    found = must_read(postgis, feed)
    wanted = postgis.run(
        "SELECT id, ST_AsBinary(p, 'NDR'), ST_AsBinary(g, 'NDR'), ST_AsEWKB(a, 'NDR'), ST_AsEWKB(z, 'NDR') FROM t"
    )
    assert found.rejects == []
    assert (
        found.values[:2] == [tuple(v.tobytes() if isinstance(v, memoryview) else v for v in row) for row in wanted][:2]
    )
    assert found.values[2][2:4] == tuple(bytes(value) for value in wanted[2][2:4])
    declared = table_feed({"id": "int32", "a": "geometry(2263)", "z": "geometry(2263)"}, drift="ignore")
    read = must_read(postgis, declared)
    assert [(reject["record_number"], reject["column_name"]) for reject in read.rejects] == [(1, "z")]
    assert "has more than two coordinates a point" in read.rejects[0]["reason"]
    with pytest.raises(Refused, match=r"p is geometry\(Point,4326\), and the contract says geometry\(2263\)"):
        must_read(postgis, table_feed({"p": "geometry(2263)"}, drift="ignore"))


def test_a_server_that_restarts_amid_a_read_breaks_it_off_and_the_next_read_is_whole(postgis_server: Postgis) -> None:
    database = postgis_server.create()
    database.run("CREATE TABLE t AS SELECT i AS id, repeat('x', 200) AS note FROM generate_series(1, 300000) AS i")
    source = TableSource(table_feed({"id": "int32", "note": "string"}), lambda: database.url)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with pytest.raises(DatabaseFailed, match=r"the database broke off after [\d,]+ rows"), source.open(slice_) as read:
        for chunk in read.chunks():
            assert chunk.rows.num_rows
            postgis_server.stop()
    postgis_server.start()
    assert must_read(database, source.feed).rows.num_rows == 300_000
