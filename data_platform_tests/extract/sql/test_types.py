"""Every value of the database is in the extract exactly, or is a reject that says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_platform.contract import Column
from data_platform.feeds.file_contract import FileColumn
from data_platform.values.convert import rule_for
from data_platform.values.rule import BadValue
from data_platform_tests.extract.sql.tables import must_read, table_feed
from data_platform_tests.servers.postgres import Database


def numerics() -> st.SearchStrategy[str]:
    """Numbers of any size and scale, some hostile."""
    digits = st.text("0123456789", max_size=45).map(lambda text: text or "0")
    number = st.tuples(st.sampled_from(["", "-"]), digits, st.text("00000123456789", max_size=30))
    plain = number.map(lambda parts: f"{parts[0]}{parts[1]}" + (f".{parts[2]}" if parts[2] else ""))
    return st.one_of(
        st.decimals("-99999999", "99999999", places=2).map(str),
        plain,
        st.sampled_from(["NaN", "Infinity", "-Infinity", "-0.00", "1e20", "0.0000000000001"]),
    )


def moments(form: str, *odd: str) -> st.SearchStrategy[str]:
    """Moments of the years 1 to 9999, and others."""
    usual = st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1)) | st.datetimes()
    return st.one_of(
        usual.map(lambda moment: moment.strftime(form).rjust(len(datetime.max.strftime(form)), "0")),
        st.sampled_from(["infinity", "-infinity", *odd]),
    )


def texts(longest: int | None = None) -> st.SearchStrategy[str]:
    """Any text that PostgreSQL stores: not the character 0, nor half of a surrogate pair."""
    return st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=longest)


def test_each_type_arrives(database: Database) -> None:
    database.run(
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE TYPE place AS (x int, y numeric)",
        """CREATE TABLE t (i2 int2, i4 int4, i8 int8, n numeric(12,3), f8 float8, f4 float4, b bool, s text, v varchar,
             c char(5), u uuid, d date, ts timestamp, tz timestamptz, tm time, y bytea, j json, jb jsonb, e mood,
             a int[], p place)""",
        r"""INSERT INTO t VALUES (-5, 70000, 9000000000, 12.5, 0.1, 0.1, true, E'\u00e9\n"x', '', 'ab',
             '6a2f41a3-c54c-fce8-32d2-0324e1c32e22', '2026-03-08', '2026-03-08 01:30:00.123456',
             '2026-03-08 01:30:00.123456+05', '23:59:59.999999', '\x00ff', '{"a": 1}', '{"b":[1,2.50]}', 'sad',
             '{{1,2},{3,4}}', ROW(1, 2.5))""",
        "INSERT INTO t SELECT",
    )
    feed = table_feed(
        {
            "i2": "int16",
            "i4": "int32",
            "i8": "int64",
            "n": "decimal(12,3)",
            "f8": "float",
            "f4": "float",
            "b": "boolean",
            **dict.fromkeys("svcu", "string"),
            "d": "date",
            "ts": {"type": "timestamp", "time_zone": "America/New_York"},
            "tz": "timestamp",
            "tm": "time",
            "y": "binary",
            "j": "json",
            "jb": "json",
            "e": "string",
            "a": "json",
            "p": "json",
        }
    )
    found = must_read(database, feed)
    assert found.rejects == []
    row, nulls = found.values
    assert row == (
        *(-5, 70000, 9000000000, Decimal("12.500"), 0.1, 0.1, True, 'é\n"x', "", "ab"),
        "6a2f41a3-c54c-fce8-32d2-0324e1c32e22",
        date(2026, 3, 8),
        datetime(2026, 3, 8, 6, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 3, 7, 20, 30, 0, 123456, tzinfo=UTC),
        time(23, 59, 59, 999999),
        b"\x00\xff",
        *('{"a": 1}', '{"b": [1, 2.50]}', "sad", "[[1, 2], [3, 4]]", '{"x": 1, "y": 2.5}'),
    )
    assert set(nulls) == {None}


WALL = {"type": "timestamp", "time_zone": "America/New_York", "ambiguous": "latest"}
COLUMNS: dict[str, tuple[str, str | dict[str, Any], st.SearchStrategy[str]]] = {
    "small": ("int2", "int8", st.integers(-(2**15), 2**15 - 1).map(str)),
    "whole": ("int8", "int32", st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31)).map(str)),
    "ratio": (
        "float8",
        "float",
        st.one_of(st.floats(allow_nan=True).map(repr), st.sampled_from(["NaN", "-Infinity"])),
    ),
    "narrow": ("float4", "float", st.floats(width=32, allow_infinity=False, allow_nan=False).map(repr)),
    "money": ("numeric", "decimal(14,2)", numerics()),
    "wide": ("numeric", "decimal(38,12)", numerics()),
    "fine": ("numeric(40,30)", "decimal(38,30)", st.decimals("-999999999", "999999999", places=30).map(str)),
    "count": ("numeric(18,0)", "int64", st.integers(-(10**18) + 1, 10**18 - 1).map(str)),
    "day": ("date", "date", moments("%Y-%m-%d", "4713-01-01 BC", "5874897-12-31", "0001-01-01", "9999-12-31")),
    "wall": (
        "timestamp",
        WALL,
        moments("%Y-%m-%d %H:%M:%S.%f", "2026-11-01 01:30:00", "2026-03-08 02:30:00", "294276-12-31 23:59:59.999999"),
    ),
    "instant": ("timestamptz", "timestamp", moments("%Y-%m-%d %H:%M:%S.%f+00", "4713-01-01 00:00:00+00 BC")),
    "clock": ("time", "time", st.one_of(st.times().map(str), st.just("24:00:00"))),
    "flag": ("bool", "boolean", st.sampled_from(["true", "false"])),
    "note": ("text", "string", texts()),
    "code": ("varchar(40)", "string", texts(40)),
}


@given(st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # not shrink: each example is a table
)
def test_a_value_is_what_the_rule_of_its_type_makes_of_its_text(database: Database, data: st.DataObject) -> None:
    """Whatever the database holds, read in binary, equals the database's own text of it, read by the rule for text."""
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for _, _, values in COLUMNS.values())), max_size=30))
    database.run(
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t ({', '.join(f'{name} {type_}' for name, (type_, _, _) in COLUMNS.items())})",
    )
    rows.append((None,) * len(COLUMNS))  # a table of which no row is good isn't kept
    database.insert("t", rows, f"({', '.join(f'%s::text::{type_}' for type_, _, _ in COLUMNS.values())})")
    feed = table_feed({name: declared for name, (_, declared, _) in COLUMNS.items()})
    written = database.run("SET TimeZone = 'UTC'", f"SELECT {', '.join(f'{name}::text' for name in COLUMNS)} FROM t")
    rules = [_rule(column) for column in feed.contract.columns]
    good: list[tuple[Any, ...]] = []
    bad: list[tuple[int, str]] = []
    for number, row in enumerate(written, 1):
        values, wrong = [], []
        for column, rule, text in zip(feed.contract.columns, rules, row, strict=True):
            try:
                values.append(None if text is None else rule(text))
            except BadValue:
                wrong.append(column.name)
        if wrong:
            bad.append((number, wrong[0]))
        else:
            good.append(tuple(values))
    found = must_read(database, feed)
    assert _comparable(found.values) == _comparable(good)
    assert [(reject["record_number"], reject["column_name"]) for reject in found.rejects] == bad


def _comparable(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    """NaN isn't equal to itself, and UTC has several names."""
    return [[v.isoformat() if isinstance(v, datetime) else repr(v) for v in row] for row in rows]


def _rule(column: Column) -> Callable[[str], Any]:
    as_file = FileColumn(**{name: getattr(column, name) for name in Column.model_fields})
    return str if column.type == "string" else rule_for(as_file)


def test_a_reject_says_what_is_wrong_with_which_row(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id int, n numeric, d date, ts timestamp, s text)",
        """INSERT INTO t VALUES (1, 'NaN', '2026-01-01', '2026-01-01', 'a'), (2, 12345.6, 'infinity', NULL, NULL),
             (3, 1.005, '2026-01-01', '2026-03-08 02:30', 'é'), (4, 1.50, '2026-01-01', '2026-03-08 03:30', 'b'),
             (5, 1e50, '10000-01-01', '-infinity', 'c')""",
    )
    feed = table_feed(
        {
            "id": "int32",
            "n": "decimal(6,2)",
            "d": "date",
            "ts": {"type": "timestamp", "time_zone": "America/New_York"},
            "s": {"type": "string", "nullable": False},
        }
    )
    found = must_read(database, feed)
    assert [row[0] for row in found.values] == [4]
    assert [(reject["record_number"], reject["column_name"], reject["reason"]) for reject in found.rejects] == [
        (1, "n", "n: 'NaN' is not a decimal number"),
        (
            2,
            "n",
            "n: '12345.6' has more than 4 digits before the decimal mark; d: 'infinity' is not a date YYYY-MM-DD;"
            " s: is null, which the contract doesn't allow",
        ),
        (
            3,
            "n",
            "n: '1.005' has more than 2 digits after the decimal mark; ts: '2026-03-08 02:30:00.000000' doesn't exist"
            " in America/New_York: clocks go forward over it",
        ),
        (
            5,
            "n",
            f"n: '1{'0' * 50}' has more than 4 digits before the decimal mark; d: '10000-01-01' is not a date"
            " YYYY-MM-DD; ts: '-infinity' is not a timestamp YYYY-MM-DD HH:MM[:SS[.ffffff]][offset]",
        ),
    ]
    assert found.rejects[1]["raw_text"] == '{"id": "2", "n": "12345.6", "d": "infinity", "ts": null, "s": null}'


def test_a_value_that_snowflake_can_not_store_is_a_reject(database: Database) -> None:
    database.run(
        "CREATE TABLE t (id int, s text, y bytea)",
        "INSERT INTO t VALUES (1, repeat('x', 16777217), 'a'), (2, 'b', convert_to(repeat('x', 8388609), 'UTF8')),"
        " (3, repeat('x', 16777216), convert_to(repeat('x', 8388608), 'UTF8'))",
    )
    found = must_read(database, table_feed({"id": "int32", "s": "string", "y": "binary"}))
    assert [row[0] for row in found.values] == [3]
    assert [(reject["column_name"], "Snowflake stores at most" in reject["reason"]) for reject in found.rejects] == [
        ("s", True),
        ("y", True),
    ]
    assert all(len(reject["raw_text"]) < 10_100 for reject in found.rejects)


def test_bytes_that_are_not_utf_8_are_a_reject(database: Database, postgres_server: str) -> None:
    database.run("COMMIT", "CREATE DATABASE ascii ENCODING SQL_ASCII TEMPLATE template0")
    ascii_ = Database(f"{postgres_server}ascii")
    ascii_.run("CREATE TABLE t (s text)", "INSERT INTO t VALUES ('fine'), (E'\\xe9t\\xe9')")
    found = must_read(ascii_, table_feed({"s": "string"}))
    assert found.values == [("fine",)]
    assert [reject["reason"] for reject in found.rejects] == [r"s: '\\xe9t\\xe9' is not UTF-8"]


def test_domains_and_widened_types_are_read_as_what_they_are(database: Database) -> None:
    database.run(
        "CREATE DOMAIN cents AS int CHECK (VALUE >= 0)",
        "CREATE DOMAIN price AS cents",
        "CREATE TABLE t (a price, b int, c int, d interval, e money)",
        "INSERT INTO t VALUES (5, 7, 9, '1 day 02:00', 12.5)",
    )
    feed = table_feed({"a": "int64", "b": "decimal(12,2)", "c": "float", "d": "string", "e": "string"})
    assert must_read(database, feed).values == [(5, Decimal("7.00"), 9.0, "P1DT2H", "$12.50")]


def test_well_known_binary_is_a_geometry(database: Database) -> None:
    database.run(
        "CREATE TABLE t (shape bytea)",
        r"INSERT INTO t VALUES ('\x0101000000000000000000f03f0000000000000040'), ('\x00')",
    )
    found = must_read(database, table_feed({"shape": "geometry(4326)"}))
    assert [row[0].hex() for row in found.values] == ["0101000000000000000000f03f0000000000000040"]
    assert "is not well-known binary" in found.rejects[0]["reason"]
