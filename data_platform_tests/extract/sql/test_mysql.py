"""Tables of a real MariaDB: what the server holds, as its own text, and what arrives."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_platform.contract import Column
from data_platform.extract.source import Refused
from data_platform.extract.sql import system
from data_platform.extract.sql.discovery import read_catalog
from data_platform.extract.sql.mysql import packets
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.discovery import Wanted
from data_platform.feeds.file_contract import FileColumn
from data_platform.values.convert import rule_for
from data_platform.values.rule import BadValue
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.extract.sql.tables import must_read, read, table_feed
from data_platform_tests.servers.mariadb import MariaDatabase

ID = {"type": "int64", "nullable": False}
WALL = {"type": "timestamp", "time_zone": "America/New_York", "ambiguous": "latest"}


def test_each_type_arrives(maria: MariaDatabase) -> None:
    maria.run(
        """CREATE TABLE t (i1 tinyint, i3 mediumint unsigned, i8 bigint unsigned, z int(6) zerofill, n decimal(65,30),
             f float, d double, b boolean, bits bit(5), one bit(1), s varchar(20), e enum('glad','sad'), u uuid,
             da date, dt datetime(6), ts timestamp(6) NULL, tm time(6), y year, bl blob, vb varbinary(9), j json)""",
        """INSERT INTO t VALUES (-5, 16777215, 18446744073709551615, 42, 12345.678, 0.1, 0.1, true, b'10101', b'1',
             'é😀\n"x', 'sad', '6a2f41a3-c54c-4ce8-92d2-0324e1c32e22', '2026-03-08', '2026-03-08 01:30:00.123456',
             '2026-03-08 01:30:00.123456', '23:59:59.999999', 2026, x'00ff', '', '{"a": 1.50}')""",
        "INSERT INTO t () VALUES ()",
    )
    feed = table_feed(
        {
            "i1": "int8",
            "i3": "int32",
            "i8": "decimal(20,0)",
            "z": "int32",
            "n": "decimal(38,30)",
            "f": "float",
            "d": "float",
            "b": "boolean",
            "bits": "int8",
            "one": "boolean",
            **dict.fromkeys("seu", "string"),
            "da": "date",
            "dt": WALL,
            "ts": "timestamp",
            "tm": "time",
            "y": "int16",
            "bl": "binary",
            "vb": "binary",
            "j": "json",
        }
    )
    found = must_read(maria, feed)
    assert found.rejects == []
    row, nulls = found.values
    assert row == (
        *(-5, 16777215, Decimal(18446744073709551615), 42, Decimal("12345.678000000000000000000000000000")),
        *(0.1, 0.1, True, 21, True, 'é😀\n"x', "sad", "6a2f41a3-c54c-4ce8-92d2-0324e1c32e22"),
        date(2026, 3, 8),
        datetime(2026, 3, 8, 6, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 3, 8, 1, 30, 0, 123456, tzinfo=UTC),
        time(23, 59, 59, 999999),
        *(2026, b"\x00\xff", b"", '{"a": 1.50}'),
    )
    assert set(nulls) == {None}


def decimals(whole: int, scale: int) -> st.SearchStrategy[str]:
    """Decimals of so many digits before and after the point."""
    parts = st.tuples(st.sampled_from(["", "-"]), st.integers(0, 10**whole - 1), st.integers(0, 10**scale - 1))
    return parts.map(lambda each: f"{each[0]}{each[1]}.{each[2]:0{scale}d}")


def moments(lowest: datetime = datetime(1, 1, 1), highest: datetime = datetime.max) -> st.SearchStrategy[str]:
    return st.datetimes(lowest, highest).map(lambda moment: moment.isoformat(" "))


COLUMNS: dict[str, tuple[str, str | dict[str, Any], st.SearchStrategy[str]]] = {
    "whole": ("bigint", "int32", st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31)).map(str)),
    "counted": ("bigint unsigned", "int64", st.integers(0, 2**64 - 1).map(str)),
    "wide": ("decimal(65,10)", "decimal(38,10)", decimals(55, 10) | decimals(20, 10)),
    "money": ("decimal(14,2)", "decimal(14,2)", decimals(12, 2)),
    "fine": ("decimal(40,30)", "decimal(12,2)", decimals(10, 30) | decimals(9, 1)),
    "ratio": ("double", "float", st.floats(allow_nan=False, allow_infinity=False).map(repr)),
    "narrow": ("float", "float", st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)),
    "flag": ("boolean", "boolean", st.sampled_from(["0", "1", "2", "-1"])),
    "day": ("date", "date", st.dates().map(str) | st.sampled_from(["0000-00-00", "2026-00-00", "2026-02-00"])),
    "wall": (
        "datetime(6)",
        WALL,
        moments() | st.sampled_from(["2026-11-01 01:30:00", "2026-03-08 02:30:00", "0000-00-00 00:00:00"]),
    ),
    "instant": ("timestamp(6) NULL", "timestamp", moments(datetime(1970, 1, 2), datetime(2038, 1, 19))),
    "clock": ("time(6)", "time", st.times().map(str) | st.sampled_from(["-838:59:59", "838:59:59", "24:00:00"])),
    "note": ("text", "string", st.text(st.characters(exclude_categories=["Cs"]))),
    "code": ("varbinary(300)", "binary", st.binary(max_size=300)),
}


@given(st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # not shrink: each example is a table
)
def test_a_value_is_what_the_rule_of_its_type_makes_of_its_text(maria: MariaDatabase, data: st.DataObject) -> None:
    """Whatever the server holds equals the server's own text of it, read by the rule for text."""
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for _, _, values in COLUMNS.values())), max_size=30))
    maria.run(
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t ({', '.join(f'{name} {type_}' for name, (type_, _, _) in COLUMNS.items())})",
    )
    rows.append((None,) * len(COLUMNS))  # a table of which no row is good isn't kept
    maria.insert("t", rows, f"({', '.join(['%s'] * len(COLUMNS))})")
    feed = table_feed({name: declared for name, (_, declared, _) in COLUMNS.items()})
    texts = [f"HEX({name})" if name == "code" else f"CAST({name} AS CHAR)" for name in COLUMNS]
    texts[list(COLUMNS).index("narrow")] = "CAST(CAST(narrow AS double) AS CHAR)"
    written = maria.run("SET time_zone = '+00:00'", f"SELECT {', '.join(texts)} FROM t")
    good: list[tuple[Any, ...]] = []
    bad: list[tuple[int, str]] = []
    for number, row in enumerate(written, 1):
        values, wrong = [], []
        for column, text in zip(feed.contract.columns, row, strict=True):
            try:
                values.append(None if text is None else _by_rule(column, text))
            except BadValue:
                wrong.append(column.name)
        if wrong:
            bad.append((number, wrong[0]))
        else:
            good.append(tuple(values))
    found = must_read(maria, feed)
    assert _comparable(found.values) == _comparable(good)
    assert [(reject["record_number"], reject["column_name"]) for reject in found.rejects] == bad


def _by_rule(column: Column, text: str) -> Any:
    if column.name in ("note",):
        return text
    given_ = {name: getattr(column, name) for name in Column.model_fields}
    if column.name == "instant":
        given_["time_zone"] = "UTC"
    value = rule_for(FileColumn(**given_))(text)
    return _as_narrow(value) if column.name == "narrow" else value


def _as_narrow(value: float) -> float:
    """The shortest number that a float of 32 bits stands for."""
    import numpy as np

    return float(str(np.float32(value)))


def _comparable(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    return [[v.isoformat() if isinstance(v, datetime) else repr(v) for v in row] for row in rows]


def test_what_binary_ways_get_wrong_is_a_reject_that_says_why(maria: MariaDatabase) -> None:
    maria.run(
        "CREATE TABLE t (id int, u bigint unsigned, n decimal(65,2), d date, tm time, p point)",
        "SET sql_mode = ''",
        "INSERT INTO t VALUES (1, 18446744073709551615, 1, '0000-00-00', '838:59:59', ST_GeomFromText('POINT(1 2)'))",
        f"INSERT INTO t VALUES (2, 5, {'9' * 63}, '2026-01-01', '12:00:00', ST_GeomFromText('POINT(1 2)', 2263))",
        "INSERT INTO t VALUES (3, 5, 1.50, '2026-01-01', '12:00:00', ST_GeomFromText('POINT(1 2)', 4326))",
    )
    feed = table_feed(
        {"id": "int32", "u": "int64", "n": "decimal(38,2)", "d": "date", "tm": "time", "p": "geometry(4326)"}
    )
    found = must_read(maria, feed)
    ((key, *_, shape),) = found.values
    assert (key, shape.hex()) == (3, "0101000000000000000000f03f0000000000000040")
    first, second = (reject["reason"] for reject in found.rejects)
    assert first.startswith("u: '18446744073709551615' ")
    assert "d: '0000-00-00' is not a date" in first and "tm: '838:59:59' is not a time" in first
    assert "n: " in second and "digits before the decimal mark" in second
    assert "is in SRID 2263; the column's is 4326" in second


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (None, {"id": "int64"}, "there is no table .* in the database of the connection records"),
        ("id bigint", {"id": "int64", "v": "string"}, "the column v is not in the table"),
        ("id text", {"id": "int64"}, "the column id is text, and the contract says int64, which reads an integer"),
        ("n decimal(9,2)", {"n": "int32"}, r"n is decimal\(9,2\), and the contract says int32"),
        ("n bigint", {"n": "float"}, "an integer type but bigint"),
        ("n double", {"n": "decimal(9,2)"}, "decimal or an integer type"),
        ("n tinyint", {"n": "boolean"}, r"boolean, which is tinyint\(1\)"),
        ("w datetime", {"w": "timestamp"}, "w is datetime, .*`time_zone` in the contract"),
        ("a text, b int", {"a": "geometry(4326)", "b": "date"}, "a is text, .*a spatial type.*; the column b is int"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused_before_it_is_read(
    maria: MariaDatabase, table: str | None, columns: dict[str, Any], said: str
) -> None:
    if table:
        maria.run(f"CREATE TABLE t ({table})")
    with pytest.raises(Refused, match=rf"records/t: .*{said}"):
        read(maria, table_feed(columns))


def merged(watermark: str | dict[str, Any], overlap: int = 0) -> Any:
    declared: dict[str, Any] = {"type": watermark} if isinstance(watermark, str) else watermark
    return table_feed(
        {"id": ID, "w": {"nullable": False, **declared}},
        key=["id"],
        load_mode="merge",
        watermark={"column": "w", "overlap_minutes": overlap},
    )


@pytest.mark.parametrize(
    ("type_", "declared", "first", "second"),
    [
        ("timestamp(6)", "timestamp", "2026-03-07 10:00:00.000001", "2026-03-07 10:00:00.000002"),
        ("datetime(1)", WALL, "2026-11-01 01:30:00.1", "2026-11-01 01:30:00.2"),
        ("date", "date", "2026-03-07", "2026-03-08"),
        ("bigint unsigned", "int64", "9007199254740993", "9007199254740994"),
    ],
)
def test_the_position_is_the_watermark_exactly(
    maria: MariaDatabase, type_: str, declared: Any, first: str, second: str
) -> None:
    maria.run(
        f"CREATE TABLE t (id bigint, `w` {type_} NOT NULL)",
        "SET time_zone = '+00:00'",
        f"INSERT INTO t VALUES (1, '{first}')",
    )
    one = must_read(maria, merged(declared))
    assert one.position == {"column": "w", "watermark": first}
    assert read(maria, merged(declared), one.position) is None
    maria.run("SET time_zone = '+00:00'", f"INSERT INTO t VALUES (2, '{second}')")
    two = must_read(maria, merged(declared), one.position)
    assert (two.position["watermark"], two.slice.since) == (second, one.position)
    assert [row[0] for row in two.values] == [1, 2]  # the last read's end is included


def test_changes_that_commit_within_the_overlap_are_found_and_odd_rows_are_rejects(maria: MariaDatabase) -> None:
    maria.run(
        "CREATE TABLE t (id bigint, w datetime NULL)",
        "SET sql_mode = ''",
        "INSERT INTO t VALUES (1, '2026-03-07 10:00'), (2, NULL), (3, '0000-00-00')",
    )
    feed = merged({"type": "timestamp", "time_zone": "UTC"}, overlap=15)
    one = must_read(maria, feed)
    assert ([row[0] for row in one.values], len(one.rejects)) == ([1], 2)
    maria.run("INSERT INTO t VALUES (4, '2026-03-07 09:50'), (5, '2026-03-07 09:40'), (6, '2026-03-07 10:10')")
    two = must_read(maria, feed, one.position)
    assert ([row[0] for row in two.values], len(two.rejects)) == ([1, 4, 6], 2)
    maria.run("SET sql_mode = ''", "INSERT INTO t VALUES (7, '2027-01-00')")
    with pytest.raises(Refused, match="the newest watermark is 2027-01-00 00:00:00, which is no date"):
        read(maria, feed, two.position)


def test_a_read_sees_one_state_and_ends_with_its_reader(maria: MariaDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "ROWS_A_PAGE", 1000)
    maria.run("CREATE TABLE t (id bigint)", "INSERT INTO t SELECT seq FROM seq_1_to_300000")
    source = TableSource(table_feed({"id": "int64"}), lambda: maria.url)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with source.open(slice_) as reading:
        chunks = reading.chunks()
        rows = next(chunks).rows.num_rows
        maria.run("INSERT INTO t SELECT seq FROM seq_1_to_1000")
        rows += sum(chunk.rows.num_rows for chunk in chunks)
    assert rows == 300_000
    with source.open(slice_) as reading:
        next(iter(reading.chunks()))
    mine = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info LIKE '%`t`%'"
    assert wait_for(lambda: maria.run(mine) == [], 20, "the query ends")


def test_a_value_of_any_length_is_read(maria: MariaDatabase) -> None:
    """A length takes one, three, four or nine bytes, and a row of 16 MB or more is several packets."""
    lengths = [0, 250, 251, 65535, 65536, 2**24 - 1, 2**24 + 70_000, 2**25]
    maria.run("SET GLOBAL max_allowed_packet = 1073741824", "CREATE TABLE t (id int, s longtext, b longblob, c int)")
    maria.run(*(f"INSERT INTO t VALUES ({length}, REPEAT('x', {length}), REPEAT('y', 300), 7)" for length in lengths))
    feed = table_feed({"id": "int32", "b": "binary", "s": "string", "c": "int8"})
    found = must_read(maria, feed)
    kept = [length for length in lengths if length <= 2**24]
    assert [(row[0], len(row[1]), len(row[2]), row[3]) for row in found.values] == [(n, 300, n, 7) for n in kept]
    assert ["Snowflake stores at most" in reject["reason"] for reject in found.rejects] == [True, True]


def test_a_connection_that_is_killed_fails_the_read_and_says_how_far_it_was(
    maria: MariaDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "ROWS_A_PAGE", 1000)
    maria.run("CREATE TABLE t (id bigint, s text)", "INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_300000")
    source = TableSource(table_feed({"id": "int64", "s": "string"}), lambda: maria.url)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with source.open(slice_) as reading:
        chunks = reading.chunks()
        next(chunks)
        ((session,),) = maria.run(
            "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT%`t`%' AND id <> CONNECTION_ID()"
        )
        maria.run(f"KILL {session}")
        with pytest.raises(DatabaseFailed, match=r"records/t: the database broke off after [\d,]+ rows: .*reads again"):
            list(chunks)


def test_a_connection_that_fails_is_explained_without_its_password(
    maria: MariaDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = table_feed({"id": ID})
    waited: list[float] = []
    monkeypatch.setattr(system.time, "sleep", waited.append)
    for url, said in (
        (maria.url.replace("root@", "reader:planted@"), "Access denied for user 'reader'@"),
        (maria.url + "x", "Unknown database"),
        (maria.url + "?ssl-mode=REQUIRED", "SSL is required but the server doesn't support it"),
    ):
        with pytest.raises(DatabaseFailed, match=rf"records/t: the connection records: .*{said}") as error:
            read(MariaDatabase(url), feed)
        assert "planted" not in str(error.value)
    assert waited == []
    with pytest.raises(DatabaseFailed, match="Can't connect"):
        read(MariaDatabase("mariadb://root:planted@127.0.0.1:1/x"), feed)
    assert waited == [1.0, 4.0, 10.0]


def test_names_are_taken_as_they_are_written(maria: MariaDatabase) -> None:
    maria.run(
        "CREATE TABLE `Permits; --` (`Permit %s No.` bigint, `a``b` int)", "INSERT INTO `Permits; --` VALUES (1, 2)"
    )
    feed = table_feed({"id": {**ID, "source_name": "Permit %s No."}, "b": {"type": "int8", "source_name": "a`b"}})
    assert must_read(maria, feed.model_copy(update={"from_": "Permits; --"})).values == [(1, 2)]


def test_a_user_reads_what_it_was_granted(maria: MariaDatabase) -> None:
    maria.run(
        "CREATE TABLE t (id bigint, secret text)",
        "INSERT INTO t VALUES (1, 'x')",
        "CREATE OR REPLACE USER reader@'%' IDENTIFIED BY 'pä/ss'",
    )
    reader = MariaDatabase(maria.url.replace("root@", "reader:p%C3%A4%2Fss@"))
    name = maria.url.rpartition("/")[2]
    maria.run(f"GRANT INSERT ON {name}.t TO reader@'%'")
    with pytest.raises(Refused, match=r"may not read .*GRANT SELECT ON"):
        read(reader, table_feed({"id": ID}))
    maria.run(f"GRANT SELECT (id) ON {name}.t TO reader@'%'")
    assert must_read(reader, table_feed({"id": ID})).values == [(1,)]


TYPES = {
    "tinyint": "int8",
    "tinyint(1)": "int8",
    "tinyint unsigned": "int16",
    "int": "int32",
    "int unsigned": "int64",
    "bigint": "int64",
    "bigint unsigned": "decimal(20,0)",
    "decimal(12,2)": "decimal(12,2)",
    "decimal(65,2)": "string",
    "float": "float",
    "double": "float",
    "bit(1)": "boolean",
    "bit(9)": "int64",
    "bit(64)": "decimal(20,0)",
    "year": "int16",
    "date": "date",
    "time": "string",
    "datetime": "timestamp",
    "timestamp null": "timestamp",
    "char(3)": "string",
    "text": "string",
    "json": "string",
    "enum('a')": "string",
    "set('a')": "string",
    "uuid": "string",
    "inet6": "string",
    "blob": "binary",
    "binary(3)": "binary",
    "point": "binary",
    "geometry": "binary",
}


def test_the_catalog_becomes_declarations_that_read_every_type(maria: MariaDatabase) -> None:
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(TYPES))
    maria.run(
        f"CREATE TABLE types (id int PRIMARY KEY COMMENT 'The row', code char(2) NOT NULL UNIQUE, {columns})"
        " COMMENT 'Every type'",
        "INSERT INTO types (id, code) VALUES (1, 'a')",
        "CREATE VIEW seen AS SELECT id FROM types",
    )
    schema = maria.url.rpartition("/")[2]
    declared = DatabaseDeclaration.model_validate(
        {"description": "d", "owners": ["team:a"], "time_zone": "America/New_York", "connection": "c", "tables": []}
    )
    found = read_catalog(declared, maria.url, [], Wanted(("types", "nowhere"), (schema,)))
    assert found.notes == ("there is no table nowhere in the database",)
    seen, types = sorted(found.tables, key=lambda table: table.table)
    assert (types.identity, types.description, types.keys) == ({}, "Every type", (("id",), ("code",)))
    assert (seen.description, seen.keys) == ("", ())
    identity, _, *others = types.columns
    assert (identity.type, identity.nullable, identity.description) == ("int32", False, "The row")
    assert dict(zip(TYPES, (column.type for column in others), strict=True)) == TYPES
    feed = table_feed({column.name: {"type": column.type, **column.options} for column in types.columns})
    assert len(must_read(maria, feed.model_copy(update={"from_": "types"})).values) == 1
