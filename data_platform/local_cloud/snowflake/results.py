"""A DuckDB result as Snowflake's wire format: row type, Arrow batches, JSON rows for DML.

What the Python connector reads is described by its own Arrow converters; nothing here runs user SQL.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s?(\d+)\)")
GEOMETRY_TYPE = "STRUCT(srid INTEGER, shape GEOMETRY)"
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_SIMPLE = {
    "BLOB": "binary",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "real",
    "FLOAT": "real",
    "JSON": "variant",
    "TIME": "time",
    "TIMESTAMP WITH TIME ZONE": "timestamp_tz",
}


@dataclass(frozen=True)
class Result:
    """The rows of one statement. `affected` is what the connector shows as rowcount for DML."""

    table: pa.Table
    rowtype: list[dict[str, Any]]
    affected: int | None = None

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)


def column_info(name: str, duck_type: str) -> dict[str, Any]:
    """The `rowtype` entry of one column, from DuckDB's name for its type."""
    info: dict[str, Any] = {
        "name": name, "database": "", "schema": "", "table": "", "nullable": True, "type": "text",
        "byteLength": None, "length": None, "scale": None, "precision": None, "collation": None,
    }  # fmt: skip
    if decimal := _DECIMAL.fullmatch(duck_type):
        info |= {"type": "fixed", "precision": int(decimal[1]), "scale": int(decimal[2])}
    elif duck_type in _INTEGERS:
        info |= {"type": "fixed", "precision": 38, "scale": 0}
    elif duck_type == GEOMETRY_TYPE or duck_type.startswith("GEOMETRY"):
        info |= {"type": "object", "extTypeName": "GEOMETRY"}
    elif duck_type.endswith("]"):
        info["type"] = "array"
    elif duck_type.startswith(("STRUCT", "MAP")):
        info["type"] = "object"
    elif duck_type.startswith("TIMESTAMP") and duck_type not in _SIMPLE:
        info["type"] = "timestamp_ntz"
    else:
        info["type"] = _SIMPLE.get(duck_type, "text")
    if info["type"].startswith("time"):
        info |= {"precision": 0, "scale": 9}
    elif info["type"] == "text":
        info |= {"length": 16777216, "byteLength": 16777216}
    elif info["type"] == "binary":
        info |= {"length": 8388608, "byteLength": 8388608}
    return info


def arrow_table(connection: DuckDBPyConnection) -> pa.Table:
    """The open result of `connection`."""
    table = connection.to_arrow_table()
    assert table is not None
    return table


def described(table: pa.Table, connection: DuckDBPyConnection) -> Result:
    """`table`, the last result of `connection`, with its row type; nested values and geometries become JSON text."""
    types = [(str(column[0]), str(column[1])) for column in connection.description or []]
    if any(_is_nested(t) for _, t in types):
        with connection.cursor() as cursor:
            cursor.register("_nested", table.rename_columns([f"c{i}" for i in range(len(types))]))
            projections = ", ".join(_text(f"c{i}", t) for i, (_, t) in enumerate(types))
            table = arrow_table(cursor.execute(f"SELECT {projections} FROM _nested"))
        table = table.rename_columns([name for name, _ in types])
    return Result(table, [column_info(name, duck_type) for name, duck_type in types])


def _is_nested(duck_type: str) -> bool:
    return duck_type.endswith("]") or duck_type.startswith(("STRUCT", "MAP", "GEOMETRY", "INTERVAL"))


def _text(column: str, duck_type: str) -> str:
    if duck_type == GEOMETRY_TYPE:
        # Snowflake's default GEOMETRY_OUTPUT_FORMAT is GeoJSON.
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE ST_AsGeoJSON({column}.shape)::VARCHAR END"
    if duck_type.startswith("GEOMETRY"):
        return f"ST_AsGeoJSON({column})::VARCHAR"
    if duck_type.startswith("INTERVAL"):
        return f"{column}::VARCHAR"
    return f"to_json({column})::VARCHAR" if _is_nested(duck_type) else column


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
