"""Tables of any database by SQLAlchemy: SQLite, and the servers that other tests read in their own ways."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.source import Refused
from data_platform.extract.sql.alchemy.columns import FoundColumn, reader_for
from data_platform.extract.sql.discovery import read_catalog
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.discovery import Wanted
from data_platform_tests.extract.sql.tables import must_read, read, table_feed
from data_platform_tests.servers.mariadb import MariaDatabase
from data_platform_tests.servers.postgres import Database

ID = {"type": "int64", "nullable": False}
WALL = {"type": "timestamp", "time_zone": "America/New_York"}


@dataclass(frozen=True)
class Lite:
    """A database in a file."""

    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def run(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()


@pytest.fixture
def lite(tmp_path: Path) -> Lite:
    return Lite(tmp_path / "records.db")


def test_each_type_of_sqlite_arrives(lite: Lite) -> None:
    lite.run(
        "CREATE TABLE t (i integer, n numeric(12,2), r real, s varchar(9), b boolean, d date, w datetime, tm time,"
        " y blob, j json)",
        "INSERT INTO t VALUES (9007199254740993, 12.5, 0.1, 'é', 1, '2026-03-08', '2026-03-08 01:30:00.5', '23:59:59',"
        " x'00ff', '{\"a\": 1.50}')",
        "INSERT INTO t (i) VALUES (NULL)",
        "INSERT INTO t (n) VALUES (12.345)",
    )
    columns = {"i": "int64", "n": "decimal(12,2)", "r": "float", "s": "string", "b": "boolean", "d": "date"}
    found = must_read(lite, table_feed({**columns, "w": WALL, "tm": "time", "y": "binary", "j": "json"}))
    row, nulls = found.values
    assert row == (
        *(9007199254740993, Decimal("12.50"), 0.1, "é", True, date(2026, 3, 8)),
        datetime(2026, 3, 8, 6, 30, 0, 500_000, tzinfo=UTC),
        *(time(23, 59, 59), b"\x00\xff", '{"a": 1.50}'),
    )
    assert set(nulls) == {None}
    (reject,) = found.rejects
    assert reject["reason"].startswith("n: '12.345' has more than 2 digits after the decimal mark")
    assert '"n": "12.345"' in reject["raw_text"]


def test_a_watermark_of_sqlite_is_compared_as_its_text(lite: Lite) -> None:
    lite.run(
        "CREATE TABLE t (id integer NOT NULL, w datetime NOT NULL)", "INSERT INTO t VALUES (1, '2026-03-07 10:00:00')"
    )
    feed = table_feed(
        {"id": ID, "w": {**WALL, "nullable": False}},
        key=["id"],
        load_mode="merge",
        watermark={"column": "w", "overlap_minutes": 15},
    )
    one = must_read(lite, feed)
    assert one.position == {"column": "w", "watermark": "2026-03-07 10:00:00"}
    assert read(lite, feed, one.position) is None
    lite.run("INSERT INTO t VALUES (2, '2026-03-07 09:46:00'), (3, '2026-03-07 09:44:00'), (4, '2026-03-07 10:01:00')")
    assert [row[0] for row in must_read(lite, feed, one.position).values] == [1, 2, 4]


def test_the_catalog_becomes_declarations_that_can_be_read(lite: Lite) -> None:
    lite.run(
        "CREATE TABLE permits (id integer PRIMARY KEY, fee numeric(12,2), at datetime, note text, shape blob)",
        "CREATE VIEW seen AS SELECT id FROM permits",
        "INSERT INTO permits VALUES (1, 2.5, '2026-03-07 10:00:00', 'x', NULL)",
    )
    declared = DatabaseDeclaration.model_validate(
        {"description": "d", "owners": ["team:a"], "time_zone": "UTC", "connection": "c", "tables": []}
    )
    found = read_catalog(declared, lite.url, [], Wanted(("permits", "seen", "nowhere")))
    assert found.notes == ("there is no table nowhere in the database",)
    permits, _ = found.tables
    assert (permits.table, permits.keys, permits.identity) == ("permits", (("id",),), {})
    assert [column.type for column in permits.columns] == ["int64", "string", "timestamp", "string", "binary"]
    feed = table_feed({column.name: {"type": column.type, **column.options} for column in permits.columns})
    assert len(must_read(lite, feed.model_copy(update={"from_": "permits"})).values) == 1


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (None, {"id": "int64"}, "there is no table t in the database of the connection records"),
        (
            "id text",
            {"id": "int64", "v": "string"},
            "id is TEXT, .* an integer type.*; the column v is not in the table",
        ),
        ("w datetime", {"w": "timestamp"}, "w is DATETIME, .*`time_zone` in the contract"),
        ("n numeric(9,2)", {"n": "int32"}, "an integer type"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused_before_it_is_read(
    lite: Lite, table: str | None, columns: dict[str, Any], said: str
) -> None:
    lite.run(f"CREATE TABLE t ({table})" if table else "SELECT 1")
    with pytest.raises(Refused, match=rf"records/t: .*{said}"):
        read(lite, table_feed(columns))


def test_what_needs_one_state_for_several_connections_is_refused(lite: Lite) -> None:
    lite.run("CREATE TABLE t (id integer)")
    with pytest.raises(Refused, match="parts needs several connections that read one state"):
        read(lite, table_feed({"id": "int64"}, parts=4))


def test_a_name_may_have_any_character(lite: Lite) -> None:
    lite.run("""CREATE TABLE t ("10:30 %s \\:x" integer)""", "INSERT INTO t VALUES (1)")
    assert must_read(lite, table_feed({"id": {**ID, "source_name": "10:30 %s \\:x"}})).values == [(1,)]


def test_a_decimal_that_the_driver_has_rounded_is_a_reject() -> None:
    import sqlalchemy as sa

    found = FoundColumn("n", "NUMBER", sa.Numeric(12, 2), False, "", "n", "n", floats=False)
    reader = reader_for(table_feed({"n": "decimal(12,2)"}).contract.columns[0], found)
    assert not isinstance(reader, str)
    converted = reader.convert([Decimal("1.50"), 1.5, None])
    assert list(converted.bad) == [1] and "binary fraction" in converted.bad[1]


def test_a_driver_that_is_not_there_is_named_and_a_password_never() -> None:
    for url, said in (
        (
            "mssql+pyodbc://reader:planted@127.0.0.1/x",
            "the database's driver isn't installed: No .*pyodbc",
        ),
        ("nosuch+thing://reader:planted@127.0.0.1/x", "the database's driver isn't installed: .*nosuch"),
        ("mysql+pymysql://reader:planted@127.0.0.1:port/x", "the connection's URL can't be read"),
    ):
        with pytest.raises(DatabaseFailed, match=rf"records/t: the connection records: {said}") as error:
            read(At(url), table_feed({"id": "int64"}))
        assert "planted" not in str(error.value)


@dataclass(frozen=True)
class At:
    """A database by its URL."""

    url: str


DDL = "id bigint, n numeric(30,10), d date, w timestamp, s varchar(20), f double precision"
ROW = "(9007199254740993, 12345678901234567890.0123456789, '2026-03-08', '2026-03-08 01:30:00', 'é%', 0.1, '{}')"
FEED = table_feed({"id": "int64", "n": "decimal(30,10)", "d": "date", "w": WALL, "s": "string", "f": "float"})


def test_postgresql_reads_the_same_in_the_general_way(database: Database) -> None:
    database.run(f"CREATE TABLE t ({DDL}, j jsonb)", f"INSERT INTO t VALUES {ROW}")
    _both_ways_equal(database, database.url.replace("postgresql://", "postgresql+psycopg2://"))


def test_mariadb_reads_the_same_in_the_general_way(maria: MariaDatabase) -> None:
    ddl = DDL.replace("timestamp", "datetime")
    maria.run(f"CREATE TABLE t ({ddl}, j json)", f"INSERT INTO t VALUES {ROW}")
    _both_ways_equal(maria, maria.url.replace("mariadb://", "mariadb+pymysql://"))


def _both_ways_equal(own: Any, url: str) -> None:
    feed = FEED.with_contract(FEED.contract.model_copy(update={"drift": "ignore"}))
    general = At(url)
    assert must_read(own, feed).values == must_read(general, feed).values
    watermark = {
        "load_mode": "merge",
        "key": ["id"],
        "watermark": {"column": "w", "overlap_minutes": 5},
        "drift": "ignore",
    }
    merged = table_feed({"id": ID, "w": {**WALL, "nullable": False}}, **watermark)
    one = must_read(general, merged)
    assert one.position["watermark"].startswith("2026-03-08 01:30:00")
    assert read(general, merged, one.position) is None
    own.run("INSERT INTO t (id, w) VALUES (2, '2026-03-08 01:26:00'), (3, '2026-03-08 01:36:00')")
    assert sorted(row[0] for row in must_read(general, merged, one.position).values) == [2, 3, 9007199254740993]
