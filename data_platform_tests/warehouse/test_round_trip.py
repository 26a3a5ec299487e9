"""A Python value goes through Parquet, COPY and Snowflake and comes back through the connector as it was."""

from __future__ import annotations

import json
import math
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from snowflake.connector import SnowflakeConnection

from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.schema import apply_schema, plan_schema
from data_platform.warehouse.table import raw_table

DATABASE = "DATA_PLATFORM"


def integers(bits: int) -> tuple[st.SearchStrategy[Any], list[Any]]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.integers(low, high), [low, high, 0]


def decimals(precision: int, scale: int) -> tuple[st.SearchStrategy[Any], list[Any]]:
    largest = 10**precision - 1
    values = st.integers(-largest, largest).map(lambda digits: Decimal(f"{digits}E-{scale}"))
    return values, [Decimal(f"{digits}E-{scale}") for digits in (largest, -largest, 0, 1)]


def point(x: float, y: float) -> bytes:
    return struct.pack("<BIdd", 1, 1, x, y)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_coordinate = st.floats(-180, 180, allow_nan=False)
_finite = st.floats(allow_nan=True, allow_infinity=True)
_midnight = datetime(1970, 1, 1, tzinfo=UTC)
TYPES: dict[str, tuple[st.SearchStrategy[Any], list[Any]]] = {
    "string": (st.text(), ["", " ", "NULL", "null", "\\N", 'it\'s \\ "quoted"\n\t', "ß\U0001f6b0" * 50, "x" * 2_000]),
    "int8": integers(8),
    "int16": integers(16),
    "int32": integers(32),
    "int64": integers(64),
    "decimal(38,0)": decimals(38, 0),
    "decimal(38,10)": decimals(38, 10),
    "decimal(38,38)": decimals(38, 38),
    "decimal(12,3)": decimals(12, 3),
    "decimal(1,1)": decimals(1, 1),
    "float": (_finite, [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf]),
    "boolean": (st.booleans(), [True, False]),
    "date": (st.dates(), [date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 10), date(1970, 1, 1)]),
    "timestamp": (
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
        [
            datetime(1, 1, 2, tzinfo=UTC),
            datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
            _midnight - timedelta(microseconds=1),
            datetime(2026, 3, 8, 7, 0, tzinfo=UTC),
            datetime(2026, 11, 1, 5, 30, 0, 1, tzinfo=UTC),
        ],
    ),
    "time": (st.times(), [time(0), time(23, 59, 59, 999_999), time(12, 0, 0, 1)]),
    "json": (
        _json.map(json.dumps),
        ["{}", "[]", '"text"', "0", "null", '{"a": {"b": [1, null, "\\u00df"]}}', '{"big": 9007199254740993}'],
    ),
    "binary": (st.binary(max_size=200), [b"", b"\x00", bytes(range(256)), b"\xff" * 10_000]),
    "geometry(4326)": (
        st.builds(point, _coordinate, _coordinate),
        [point(-73.98, 40.75), point(0.1 + 0.2, -0.0), point(180, 90)],
    ),
}


class Trip:
    """A table with one nullable column of a type, loaded anew for each list of values."""

    def __init__(self, kind: str, lake: Lake, connection: SnowflakeConnection) -> None:
        self.kind = kind
        self.lake = lake
        self.connection = connection
        columns = [{"name": "place", "type": "int64", "nullable": False}, {"name": "value", "type": kind}]
        self.feed = FeedSpec.of(
            {
                "source": f"trip_{uuid.uuid4().hex[:12]}",
                "table": "one_type",
                "contract": {"columns": columns},
                "load_mode": "replace",
            }
        )
        self.table = raw_table(DATABASE, self.feed.source, self.feed.table)
        apply_schema(connection, plan_schema(connection, self.table, self.feed.table_columns))

    def values_after(self, values: list[Any]) -> list[Any]:
        schema = self.feed.contract.arrow_schema
        batch = pa.RecordBatch.from_arrays(
            [pa.array(range(len(values)), pa.int64()), pa.array(values, schema.field("value").type)], schema=schema
        )
        key = ExtractKey(self.feed.source, self.feed.table, uuid.uuid4().hex)
        manifest = self.lake.write_extract(key, schema, [batch], contract_hash=self.feed.contract.hash)
        result = load_extracts(self.connection, DATABASE, self.feed, [manifest], lake=self.lake)
        assert result.rows_loaded == len(values)
        value = "ST_ASWKB(VALUE)" if self.kind.startswith("geometry") else "VALUE"
        with self.connection.cursor() as cursor:
            return [row[0] for row in cursor.execute(f"SELECT {value} FROM {self.table.sql} ORDER BY PLACE")]


def comparable(kind: str) -> Callable[[Any], Any]:
    """A value in a form in which equal means the same, to the last digit."""
    if kind == "json":
        return lambda text: json.dumps(json.loads(text), sort_keys=True)
    if kind == "float":
        return lambda number: "nan" if math.isnan(number) else struct.pack("<d", number)
    if kind == "timestamp":
        return lambda instant: instant.astimezone(UTC)
    if kind == "binary" or kind.startswith("geometry"):
        return bytes
    if kind.startswith("decimal"):
        return Decimal
    return lambda value: value


@pytest.mark.parametrize("kind", TYPES)
def test_every_value_of_a_type_comes_back_as_it_was(kind: str, lake: Lake, connection: SnowflakeConnection) -> None:
    strategy, extremes = TYPES[kind]
    trip = Trip(kind, lake, connection)
    same = comparable(kind)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @example(values=[*extremes, None])
    @given(values=st.lists(st.none() | strategy, min_size=1, max_size=40))
    def check(values: list[Any]) -> None:
        found = trip.values_after(values)
        assert [value is None for value in found] == [value is None for value in values]
        assert [same(value) for value in found if value is not None] == [
            same(value) for value in values if value is not None
        ]

    check()
