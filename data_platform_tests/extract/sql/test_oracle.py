"""Tables of Oracle, as a double of the driver has them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.extract.source import Refused
from data_platform.extract.sql import system
from data_platform.extract.sql.discovery import read_catalog
from data_platform.extract.sql.oracle import session
from data_platform.extract.sql.oracle.catalog import stored, written
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.discovery import Wanted
from data_platform_tests.extract.sql.oracle_double import Connection, OracleDouble, OracleTable, error, installed
from data_platform_tests.extract.sql.tables import must_read, read, table_feed

ID = {"type": "int64", "nullable": False}
WALL = {"type": "timestamp", "time_zone": "America/New_York", "ambiguous": "latest"}
POINT = bytes.fromhex("0101000000000000000000f03f0000000000000040")
NUMBER, TEXT = ("NUMBER", None, None), ("VARCHAR2", None, None)
TYPES: dict[str, tuple[tuple[str, int | None, int | None], str, Any, Any]] = {
    "N9": (("NUMBER", 9, 0), "int32", 123456789, 123456789),
    "N18": (("NUMBER", 18, 0), "int64", 10**17, 10**17),
    "N38": (("NUMBER", 38, 0), "decimal(38,0)", Decimal("9" * 38), Decimal("9" * 38)),
    "MONEY": (("NUMBER", 12, 2), "decimal(12,2)", Decimal("-12.50"), Decimal("-12.50")),
    "HUNDREDS": (("NUMBER", 5, -2), "int32", 1234500, 1234500),
    "FINE": (("NUMBER", 2, 5), "decimal(5,5)", Decimal("0.00012"), Decimal("0.00012")),
    "ANY_NUMBER": (NUMBER, "string", Decimal("-0.25"), "-.25"),
    "WHOLE": (("NUMBER", None, 0), "decimal(38,0)", 7, Decimal(7)),
    "FLOATING": (("FLOAT", 126, None), "string", Decimal("1.5"), "1.5"),
    "RATIO": (("BINARY_DOUBLE", None, None), "float", 0.1, 0.1),
    "NARROW": (("BINARY_FLOAT", None, None), "float", 0.1, 0.1),
    "FLAG": (("BOOLEAN", None, None), "boolean", True, True),
    "CODE": (("CHAR", None, None), "string", "ab ", "ab "),
    "NAME": (TEXT, "string", "é😀", "é😀"),
    "NOTE": (("CLOB", None, None), "string", "long", "long"),
    "DAY": (
        ("DATE", None, None),
        "timestamp",
        datetime(2026, 3, 8, 1, 30),
        datetime(2026, 3, 8, 6, 30, tzinfo=UTC),
    ),
    "WALL": (
        ("TIMESTAMP(6)", None, 6),
        "timestamp",
        datetime(2026, 3, 8, 1, 30, 0, 123456),
        datetime(2026, 3, 8, 6, 30, 0, 123456, tzinfo=UTC),
    ),
    "NANOS": (
        ("TIMESTAMP(9)", None, 9),
        "timestamp",
        datetime(2026, 3, 8, 1, 30),
        datetime(2026, 3, 8, 6, 30, tzinfo=UTC),
    ),
    "INSTANT": (
        ("TIMESTAMP(6) WITH TIME ZONE", None, 6),
        "timestamp",
        datetime(2026, 3, 8, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 8, 1, 30, tzinfo=UTC),
    ),
    "LOCAL": (
        ("TIMESTAMP(6) WITH LOCAL TIME ZONE", None, 6),
        "timestamp",
        datetime(2026, 3, 8, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 8, 1, 30, tzinfo=UTC),
    ),
    "SPAN": (("INTERVAL DAY(2) TO SECOND(6)", 2, 6), "string", "+01 02:00:00.000000", "+01 02:00:00.000000"),
    "MONTHS": (("INTERVAL YEAR(2) TO MONTH", 2, 0), "string", "+01-02", "+01-02"),
    "BYTES": (("RAW", None, None), "binary", b"\x00\xff", b"\x00\xff"),
    "LARGE": (("BLOB", None, None), "binary", b"x", b"x"),
    "DOCUMENT": (("JSON", None, None), "json", '{"a":1.50}', '{"a":1.50}'),
    "PLACE": (("SDO_GEOMETRY", None, None), "geometry(4326)", (8307, POINT), POINT),
    "ESRI": (("ST_GEOMETRY", None, None), "geometry(4326)", (4326, POINT), POINT),
    "ADDRESS": (("ROWID", None, None), "string", "AAAB", "AAAB"),
}


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> OracleDouble:
    columns = {name: type_ for name, (type_, *_) in TYPES.items()}
    table = OracleTable(
        columns,
        [tuple(value for *_, value, _ in TYPES.values()), (None,) * len(TYPES)],
        not_null=("N9",),
        key=("N9",),
        comment="Every type",
    )
    return installed(OracleDouble({"T": table}), monkeypatch)


def one_table(monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any], *rows: tuple[Any, ...]) -> OracleDouble:
    return installed(OracleDouble({"T": OracleTable(columns, list(rows))}), monkeypatch)


def test_the_catalog_becomes_declarations_that_read_every_type(types: OracleDouble) -> None:
    declared = DatabaseDeclaration.model_validate(
        {"description": "d", "owners": ["team:a"], "time_zone": "America/New_York", "connection": "c", "tables": []}
    )
    found = read_catalog(declared, types.url, [], Wanted(("t", "nowhere"), ("city",)))
    assert found.notes == ("there is no table nowhere in the database",)
    (table,) = found.tables
    assert (table.name, table.table, table.description, table.keys) == ("city.t", "t", "Every type", (("n9",),))
    assert {column.name.upper(): column.type for column in table.columns} == {
        name: type_ for name, (_, type_, *_) in TYPES.items()
    }
    first = table.columns[0]
    assert (first.found, first.nullable, first.description) == ("NUMBER(9)", False, "About N9")
    feed = table_feed({column.name: {"type": column.type, **column.options} for column in table.columns})
    read_ = must_read(types, feed)
    assert read_.rejects == []
    row, nulls = read_.values
    assert row == tuple(value for *_, value in TYPES.values())
    assert set(nulls) == {None}


def test_a_session_is_read_only_in_utc_and_names_itself(types: OracleDouble) -> None:
    must_read(types, table_feed({"n9": "int32"}, drift="ignore"))
    assert types.statements[:5] == list(session._SETTINGS)
    given_ = types.connected[0]
    assert {given_[name] for name in ("user", "password", "host", "port", "service_name", "protocol")} == {
        *("reader", "planted", "127.0.0.1", 1521, "records", "tcp")
    }
    assert given_["program"] == "data-platform:records/t"


def test_a_value_that_the_contract_does_not_hold_is_a_reject(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {
        "ID": ("NUMBER", 9, 0),
        "N": NUMBER,
        "D": ("DATE", None, None),
        "W": ("TIMESTAMP(6)", None, 6),
        "F": ("TIMESTAMP(9)", None, 9),
        "P": ("SDO_GEOMETRY", None, None),
    }
    noon, gap = datetime(2026, 1, 1, 12), datetime(2026, 3, 8, 2, 30)
    day = datetime(2026, 1, 1)
    database = one_table(
        monkeypatch,
        columns,
        (1, Decimal("12.50"), day, day, day, (4326, POINT)),
        (2, Decimal("9" * 40), noon, gap, day, (2263, POINT)),
        (3, Decimal("0.001"), day, day, day, None),
    )
    feed = table_feed({"id": "int8", "n": "decimal(6,2)", "d": "date", "w": WALL, "f": WALL, "p": "geometry(4326)"})
    found = must_read(database, feed)
    assert [row[:3] for row in found.values] == [(1, Decimal("12.50"), date(2026, 1, 1))]
    second, third = (reject["reason"] for reject in found.rejects)
    assert "n: " in second and "digits before the decimal mark" in second
    assert "d: '2026-01-01 12:00:00" in second and "w: '2026-03-08 02:30:00" in second
    assert "p: is in SRID 2263; the column's is 4326" in second
    assert third == "n: '.001' has more than 2 digits after the decimal mark"


@pytest.mark.parametrize(
    ("columns", "declared", "said"),
    [
        ({"ID": NUMBER}, {"id": "int64", "v": "string"}, "the column v is not in the table"),
        ({"ID": TEXT}, {"id": "int64"}, "the column id is VARCHAR2, and the contract says int64, which reads NUMBER"),
        ({"N": ("NUMBER", 9, 2)}, {"n": "int32"}, r"n is NUMBER\(9,2\), .* without digits after the point"),
        ({"N": ("NUMBER", 9, 2)}, {"n": "float"}, "BINARY_DOUBLE or BINARY_FLOAT"),
        ({"W": ("DATE", None, None)}, {"w": "timestamp"}, "w is DATE, .*`time_zone` in the contract"),
        ({"W": ("DATE", None, None)}, {"w": "time"}, "no time without a date"),
        ({"B": ("BFILE", None, None)}, {"b": "string"}, "b is BFILE"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any], declared: dict[str, Any], said: str
) -> None:
    database = one_table(monkeypatch, columns)
    with pytest.raises(Refused, match=rf"records/t: .*{said}"):
        read(database, table_feed(declared))
    with pytest.raises(Refused, match=r"there is no table city.u in the database of the connection records"):
        read(database, table_feed(declared).model_copy(update={"from_": "city.u"}))


def merged(declared: str | dict[str, Any], **given_: Any) -> Any:
    column: dict[str, Any] = {"type": declared} if isinstance(declared, str) else declared
    watermark = {"column": "w", "overlap_minutes": given_.pop("overlap", 0)}
    columns = {"id": ID, "w": {"nullable": False, **column}}
    return table_feed(columns, key=["id"], load_mode="merge", watermark=watermark, **given_)


@pytest.mark.parametrize(
    ("type_", "declared", "first", "second", "text"),
    [
        (("NUMBER", 18, 0), "int64", 9007199254740993, 9007199254740994, "9007199254740993"),
        (
            ("DATE", None, None),
            WALL,
            datetime(2026, 3, 7, 10, 0, 1),
            datetime(2026, 3, 7, 10, 0, 2),
            "2026-03-07 10:00:01",
        ),
        (
            ("TIMESTAMP(6)", None, 6),
            WALL,
            datetime(2026, 3, 7, 10, 0, 0, 1),
            datetime(2026, 3, 7, 10, 0, 0, 2),
            "2026-03-07 10:00:00.000001000",
        ),
        (
            ("TIMESTAMP(6) WITH TIME ZONE", None, 6),
            "timestamp",
            datetime(2026, 3, 7, 10, tzinfo=UTC),
            datetime(2026, 3, 7, 10, 0, 1, tzinfo=UTC),
            "2026-03-07 10:00:00.000000000",
        ),
    ],
)
def test_the_position_is_the_watermark_exactly(
    monkeypatch: pytest.MonkeyPatch, type_: Any, declared: Any, first: Any, second: Any, text: str
) -> None:
    database = one_table(monkeypatch, {"ID": ("NUMBER", 9, 0), "W": type_}, (1, first), (9, None))
    one = must_read(database, merged(declared))
    assert (one.position, len(one.rejects)) == ({"column": "w", "watermark": text}, 1)
    assert read(database, merged(declared), one.position) is None
    database.tables["T"].rows.append((2, second))
    two = must_read(database, merged(declared), one.position)
    assert [row[0] for row in two.values] == [1, 2]  # the last read's end is included
    assert two.slice.since == one.position


def test_changes_that_commit_within_the_overlap_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 3, 7, 10, tzinfo=UTC)
    columns = {"ID": ("NUMBER", 9, 0), "W": ("TIMESTAMP(6) WITH TIME ZONE", None, 6)}
    database = one_table(monkeypatch, columns, (1, at))
    feed = merged("timestamp", overlap=15)
    one = must_read(database, feed)
    database.tables["T"].rows += [(2, at.replace(hour=9, minute=46)), (3, at.replace(hour=9, minute=44))]
    database.tables["T"].rows += [(4, at.replace(minute=1))]
    assert [row[0] for row in must_read(database, feed, one.position).values] == [1, 2, 4]


def test_parts_and_keys_are_read_as_of_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"ID": ("NUMBER", 9, 0), "W": ("NUMBER", 9, 0)}
    database = one_table(monkeypatch, columns, *((number, number) for number in range(50)))
    feed = merged("int64", deletions="keys", parts=4)
    source = TableSource(feed, lambda: database.url)
    slices = list(source.plan(since=None, partition=None, unfinished=()))
    assert len(slices) == 4
    seen = []
    for slice_ in slices:
        with source.open(slice_) as reading:
            seen += [row for chunk in reading.chunks() for row in chunk.rows.column("id").to_pylist()]
    assert sorted(seen) == list(range(50))
    selects = [each for each in database.statements if each.startswith('SELECT t."ID"')]
    assert len(selects) == 4 and all('"CITY"."T" AS OF SCN 4711 t WHERE' in each for each in selects)
    since = slices[0].until
    assert list(source.plan(since=since, partition=None, unfinished=())) == []
    del database.tables["T"].rows[7]
    (keys,) = source.plan(since=since, partition=None, unfinished=())
    with source.open(keys) as reading:
        assert sum(chunk.rows.num_rows for chunk in reading.chunks()) == 49


def test_a_read_that_breaks_off_says_how_far_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    database = one_table(monkeypatch, {"ID": ("NUMBER", 9, 0)}, *((number,) for number in range(50)))
    monkeypatch.setattr(session, "ROWS_A_PAGE", 10)
    database.breaks_off_after = 20
    with pytest.raises(DatabaseFailed, match=r"records/t: the database broke off after 20 rows: DPY-4011.*reads again"):
        read(database, table_feed({"id": "int32"}))


def test_a_connection_that_fails_is_explained_and_tried_again_if_that_may_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(system.time, "sleep", waited.append)
    database = one_table(monkeypatch, {"ID": ("NUMBER", 9, 0)}, (1,))
    database.fails = [error("ORA-12541", "no listener"), error("ORA-01033", "initialization in progress")]
    assert must_read(database, table_feed({"id": "int32"})).values == [(1,)]
    assert waited == [1.0, 4.0]
    database.fails = [error("ORA-01017", "invalid credential or not authorized; logon denied")]
    with pytest.raises(DatabaseFailed, match="records/t: the connection records: ORA-01017: invalid credential"):
        read(database, table_feed({"id": "int32"}))
    assert waited == [1.0, 4.0]


def test_the_real_driver_says_that_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(system.time, "sleep", waited.append)
    database = OracleDouble({})
    monkeypatch.setattr(type(database), "url", "oracle://reader:planted@127.0.0.1:1/records")
    with pytest.raises(DatabaseFailed, match="DPY-6005") as error_:
        read(database, table_feed({"id": "int32"}))
    assert waited == [1.0, 4.0, 10.0]
    assert "planted" not in str(error_.value)


@pytest.mark.parametrize(
    ("type_", "wanted"),
    [("JSON", pa.string()), ("ROWID", pa.string()), ("NUMBER", pa.string()), ("DATE", pa.timestamp("us", tz="UTC"))],
)
def test_the_double_refuses_what_the_driver_refuses(
    monkeypatch: pytest.MonkeyPatch, type_: str, wanted: pa.DataType
) -> None:
    database = one_table(monkeypatch, {"X": (type_, None, None)}, (None,))
    with pytest.raises(Exception, match="DPY-3031"):
        list(
            Connection(database).fetch_df_batches(
                'SELECT t."X" FROM "CITY"."T" t', size=10, requested_schema=pa.schema([("c0", wanted)])
            )
        )


@given(st.from_regex(r"[A-Z][A-Z0-9_$#]{0,20}", fullmatch=True) | st.from_regex(r"[A-Z][a-z ]{1,9}", fullmatch=True))
def test_a_name_of_the_catalog_is_found_by_how_it_is_written(name: str) -> None:
    assert stored(written(name)) == name
