"""Every value of the database is in the extract exactly, or is a reject that says why."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

from data_platform_tests.extract.sql.tables import must_read, table_feed
from data_platform_tests.servers.postgres import Database


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
