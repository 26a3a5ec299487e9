"""The types of a contract's columns, and what they are in Parquet and in Snowflake."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

TypeName = Literal[
    "string",
    "int8",
    "int16",
    "int32",
    "int64",
    "decimal",
    "float",
    "boolean",
    "date",
    "timestamp",
    "time",
    "json",
    "binary",
    "geometry",
]

_TYPE = re.compile(r"^(?P<name>[a-z0-9]+)(?:\((?P<args>\d+(?:,\s*\d+)?)\))?$")
# The most digits that a value of each integer type has: -128 has 3, -32768 has 5, -2147483648 has 10, -2**63 has 19.
_INTEGER_DIGITS = {"int8": 3, "int16": 5, "int32": 10, "int64": 19}
SNOWFLAKE_TYPES: dict[str, str] = {
    "string": "VARCHAR",
    "int8": "NUMBER(3,0)",
    "int16": "NUMBER(5,0)",
    "int32": "NUMBER(10,0)",
    "int64": "NUMBER(19,0)",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP_TZ(6)",
    "time": "TIME(6)",
    "json": "VARIANT",
    "binary": "BINARY",
    "geometry": "GEOMETRY",
}
# The longest value, in bytes, that Snowflake stores in a column without a declared length; for a VARIANT, of its JSON
# text (docs.snowflake.com/en/sql-reference/data-types-text, data-types-semistructured, data-types-geospatial).
LONGEST = {"string": 2**24, "json": 2**24, "binary": 2**23, "geometry": 2**23}
TYPES_HELP = (
    "string, int8, int16, int32, int64, decimal(p,s) with p up to 38, float, boolean, date, timestamp, time, json,"
    " binary, geometry(srid)"
)


class LogicalType(NamedTuple):
    """A parsed column type: its name and, for decimal (precision, scale) or geometry (srid,), its arguments."""

    name: TypeName
    args: tuple[int, ...] = ()


@cache
def arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa  # 0.14 s, which loading definitions doesn't need

    return {
        "string": pa.string(),
        "int8": pa.int8(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "time": pa.time64("us"),
        "json": pa.string(),
        "binary": pa.binary(),
        "geometry": pa.binary(),
    }


@lru_cache(maxsize=1024)
def parse_type(text: str) -> LogicalType:
    """Parses a column type, for example `decimal(12,3)`. Raises ValueError, which lists the types."""
    match = _TYPE.match(text.strip())
    name = match["name"] if match else ""
    args = tuple(int(arg) for arg in (match["args"] or "").split(",") if arg.strip()) if match else ()
    if name == "decimal" and len(args) == 2 and 1 <= args[0] <= 38 and 0 <= args[1] <= args[0]:
        return LogicalType("decimal", args)
    if name == "geometry" and len(args) == 1:
        return LogicalType("geometry", args)
    if name in SNOWFLAKE_TYPES and name != "geometry" and not args:
        return LogicalType(name, ())  # type: ignore[arg-type]
    raise ValueError(f"{text!r} is not a column type; expected one of: {TYPES_HELP}")
