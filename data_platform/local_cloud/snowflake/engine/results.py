"""The result of one statement: its rows, its row type, nested values as the text that Snowflake prints.

How a result is sent is in `protocol.wire`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from data_platform.local_cloud.snowflake.dialect.geometry import GEOMETRY_TYPE

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s?(\d+)\)")
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

_DECLARED = {
    "text": "VARCHAR(16777216)",
    "binary": "BINARY(8388608)",
    "real": "FLOAT",
    "time": "TIME(9)",
    "timestamp_ntz": "TIMESTAMP_NTZ(9)",
    "timestamp_tz": "TIMESTAMP_TZ(9)",
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


def declared_type(duck_type: str) -> str:
    """The type as DESCRIBE prints it, from DuckDB's name for it."""
    info = column_info("", duck_type)
    if info["type"] == "fixed":
        return f"NUMBER({info['precision']},{info['scale']})"
    return str(info.get("extTypeName") or _DECLARED.get(info["type"]) or info["type"].upper())


def status(text: str = "Statement executed successfully.") -> Result:
    """The result of a statement that only succeeds."""
    return Result(pa.table({"status": [text]}), [column_info("status", "VARCHAR")])


def counted(counts: Mapping[str, int], affected: int) -> Result:
    """The result of DML: one row of counts by name, and how many rows were affected in all."""
    table = pa.table({name: [count] for name, count in counts.items()})
    return Result(table, [column_info(name, "BIGINT") for name in counts], affected)


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
