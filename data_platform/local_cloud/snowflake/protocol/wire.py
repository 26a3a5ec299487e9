"""Results in Snowflake's wire format: Arrow batches, and JSON rows for the counts of DML.

The Python connector's Arrow converters define what it reads. Nothing here runs SQL.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.local_cloud.snowflake.engine.results import Result


def to_wire(result: Result) -> dict[str, Any]:
    """The `data` members that carry the rows as one Arrow stream."""
    if not result.rows:
        return {"queryResultFormat": "arrow", "rowsetBase64": ""}
    columns = [_to_snowflake(c, i) for c, i in zip(result.table.columns, result.rowtype, strict=True)]
    fields = [
        pa.field(
            info["name"],
            column.type,
            metadata={
                "logicalType": info["type"].upper(),
                "precision": str(info["precision"] or 38),
                "scale": str(info["scale"] or 0),
                "charLength": str(info["length"] or 0),
            },
        )
        for column, info in zip(columns, result.rowtype, strict=True)
    ]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {"queryResultFormat": "arrow", "rowsetBase64": b64encode(sink.getvalue()).decode("ascii")}


def to_json_rows(result: Result) -> dict[str, Any]:
    """The `data` members that carry DML's counts; the connector reads them from `rowset`."""
    rows = [[None if v is None else str(v) for v in row.values()] for row in result.table.to_pylist()]
    return {"queryResultFormat": "json", "rowset": rows}


def _to_snowflake(column: pa.ChunkedArray[Any], info: dict[str, Any]) -> pa.ChunkedArray[Any] | pa.Array[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _timestamp(column, info["type"] == "timestamp_tz")
    if pa.types.is_time(kind):
        return pc.multiply(column.cast(pa.time64("us")).cast(pa.int64()), 1000)
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_float32(kind):
        return column.cast(pa.float64())
    if pa.types.is_uint64(kind):
        return column.cast(pa.decimal128(20, 0))
    if pa.types.is_decimal(kind) and kind.scale == 0:
        # Snowflake sends whole numbers as integers where they fit, and clients get int64 columns.
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            return column
    if pa.types.is_dictionary(kind):
        return column.cast(pa.string())
    return column


def _timestamp(column: pa.ChunkedArray[Any], with_zone: bool) -> pa.Array[Any]:
    """Seconds since the epoch (floored, so that 1969 and year 1 are right), nanoseconds, and offset + 1440."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    nanos = 1_000_000_000
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": nanos}[array.type.unit]
    valid = array.is_valid()
    ticks = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    seconds = np.floor_divide(ticks, per_second)
    fraction = ((ticks - seconds * per_second) * (nanos // per_second)).astype(np.int32)
    arrays: list[pa.Array[Any]] = [pa.array(seconds, pa.int64()), pa.array(fraction, pa.int32())]
    fields = [pa.field("epoch", pa.int64(), nullable=False), pa.field("fraction", pa.int32(), nullable=False)]
    if with_zone:
        arrays.append(pa.array(np.full(len(ticks), 1440, dtype=np.int32)))
        fields.append(pa.field("timezone", pa.int32(), nullable=False))
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=pc.invert(valid))
