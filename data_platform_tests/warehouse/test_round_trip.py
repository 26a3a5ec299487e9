"""A Python value goes through Parquet, COPY and Snowflake and comes back through the connector as it was."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from snowflake.connector import SnowflakeConnection

from data_platform.cli.doctor.deep.extremes import EXTREMES, comparable, point
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.schema import apply_schema, plan_schema
from data_platform.warehouse.table import raw_table

DATABASE = "DATA_PLATFORM"


def integers(bits: int) -> st.SearchStrategy[Any]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Any]:
    largest = 10**precision - 1
    return st.integers(-largest, largest).map(lambda digits: Decimal(f"{digits}E-{scale}"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_coordinate = st.floats(-180, 180, allow_nan=False)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "int8": integers(8),
    "int16": integers(16),
    "int32": integers(32),
    "int64": integers(64),
    "decimal(38,0)": decimals(38, 0),
    "decimal(38,10)": decimals(38, 10),
    "decimal(38,38)": decimals(38, 38),
    "decimal(12,3)": decimals(12, 3),
    "decimal(1,1)": decimals(1, 1),
    "float": st.floats(allow_nan=True, allow_infinity=True),
    "boolean": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    "time": st.times(),
    "json": _json.map(json.dumps),
    "binary": st.binary(max_size=200),
    "geometry(4326)": st.builds(point, _coordinate, _coordinate),
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


@pytest.mark.parametrize("kind", EXTREMES)
def test_every_value_of_a_type_comes_back_as_it_was(kind: str, lake: Lake, connection: SnowflakeConnection) -> None:
    strategy = STRATEGIES[kind]
    trip = Trip(kind, lake, connection)
    same = comparable(kind)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @example(values=[*EXTREMES[kind], None])
    @given(values=st.lists(st.none() | strategy, min_size=1, max_size=40))
    def check(values: list[Any]) -> None:
        found = trip.values_after(values)
        assert [value is None for value in found] == [value is None for value in values]
        assert [same(value) for value in found if value is not None] == [
            same(value) for value in values if value is not None
        ]

    check()
