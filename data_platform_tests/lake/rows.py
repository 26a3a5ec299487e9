"""Extracts of numbered rows, for the lake's tests."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
from obstore.store import MemoryStore

from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import MANIFEST_NAME, ExtractKey

KEY = ExtractKey("harbor_water", "meter_readings", "d41d8cd98f00b204", partition="2026-03-08")
SCHEMA = pa.schema([pa.field("meter_id", pa.string(), False), pa.field("litres", pa.decimal128(12, 3))])


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"meter {number}" for number in numbers], pa.string()),
            pa.array([Decimal(number) for number in numbers], pa.decimal128(12, 3)),
        ],
        schema=SCHEMA,
    )


def rejects(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "record_number": pa.array(list(numbers), pa.int64()),
            "column_name": pa.array(["litres"] * len(numbers)),
            "reason": pa.array(["not a number"] * len(numbers)),
            "raw_text": pa.array([f"meter {number},many" for number in numbers]),
        }
    )


def lake_in_memory(part_bytes: int = 1) -> Lake:
    """With parts of one row group each, unless said otherwise."""
    return Lake(MemoryStore(), part_bytes=part_bytes)


def committed(lake: Lake, source: str, table: str) -> set[str]:
    """The ids of a feed's committed extracts."""
    paths = [item.path.split("/") for item in lake.objects(f"extracts/{source}/{table}/")]
    return {extract_id for *_, extract_id, name in paths if name == MANIFEST_NAME}
