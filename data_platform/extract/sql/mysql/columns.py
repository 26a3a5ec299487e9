"""How each column of a contract is read from a column of MariaDB or MySQL: what is selected, and what becomes of it.

A type that can't hold every value of the database's exactly is refused before anything is read, except that single
values may be too long, too many digits, or no date at all for it, which are rejects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.extract.sql.fields import ColumnReader, Field, binaries, in_text, strings
from data_platform.extract.sql.mysql.catalog import FoundColumn
from data_platform.values.convert import converter_for
from data_platform.values.rejects import Array, Converted
from data_platform.values.shapes import geometries

INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "year")
_EXACT_IN_FLOAT = ("tinyint", "smallint", "mediumint", "int")
BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector")
SHAPES = (
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
    *("geometrycollection", "geomcollection"),
)


def reader_for(column: Column, found: FoundColumn) -> ColumnReader | str:
    """What reads the column, or what the contract or the database should say instead."""
    return _BY_TYPE[column.logical.name](column, found)


def _integer(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin in INTEGERS or (found.builtin == "decimal" and not found.scale):
        return _text(column, found.sql)
    return _text(column, f"{found.sql} + 0") if found.builtin == "bit" else "an integer type"


def _decimal(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin in ("decimal", *INTEGERS):
        return _text(column, found.sql)
    return _text(column, f"{found.sql} + 0") if found.builtin == "bit" else "decimal or an integer type"


def _float(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin == "float":  # its text has six digits; as a double, it has all of them
        return ColumnReader(
            f"{found.sql} + 0e0", lambda field: Converted(_shortest(field).cast(pa.float64()), {}), _spell
        )
    if found.builtin in ("double", *_EXACT_IN_FLOAT):
        return _text(column, found.sql)
    return "double, float, or an integer type but bigint"


def _boolean(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.type.startswith("tinyint(1)"):
        return _text(column, found.sql)
    return _text(column, f"{found.sql} + 0") if found.type == "bit(1)" else "boolean, which is tinyint(1), or bit(1)"


def _date(column: Column, found: FoundColumn) -> ColumnReader | str:
    return _text(column, found.sql) if found.builtin == "date" else "date"


def _time(column: Column, found: FoundColumn) -> ColumnReader | str:
    return _text(column, found.sql) if found.builtin == "time" else "time"


def _timestamp(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin == "timestamp":  # the session's zone is UTC
        return _text(column.model_copy(update={"time_zone": "UTC"}), found.sql)
    if found.builtin != "datetime":
        return "timestamp or datetime"
    if column.time_zone is None:
        return "timestamp, or `time_zone` in the contract: the zone of the clock that shows these times"
    return _text(column, found.sql)


def _string(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin in BYTES:
        return _text(column, f"HEX({found.sql})")
    if found.builtin in SHAPES:
        return _text(column, f"ST_AsText({found.sql})")
    if found.builtin == "float":
        return ColumnReader(f"{found.sql} + 0e0", lambda field: Converted(_shortest(field), {}), _spell)
    return _text(column, f"{found.sql} + 0" if found.builtin == "bit" else found.sql)


def _json(column: Column, found: FoundColumn) -> ColumnReader | str:
    return _text(column, found.sql) if found.builtin in ("json", "longtext") else "json"


def _binary(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin in SHAPES:
        return ColumnReader(found.sql, lambda field: Converted(pa.array(_shapes(field), pa.binary()), {}), bytes.hex)
    if found.builtin not in BYTES:
        return "binary, varbinary, blob, or a spatial type as EWKB"
    return ColumnReader(found.sql, lambda field: Converted(binaries(field)[0], {}), bytes.hex)


def _geometry(column: Column, found: FoundColumn) -> ColumnReader | str:
    srid = column.logical.args[0]
    if found.builtin in SHAPES:
        return ColumnReader(found.sql, lambda field: geometries(_shapes(field), srid), bytes.hex)
    if found.builtin not in BYTES:
        return "a spatial type, or a blob with well-known binary"
    return ColumnReader(found.sql, lambda field: geometries(_values(field), srid), bytes.hex)


def _shapes(field: Field) -> list[bytes | None]:
    """Shapes as EWKB. The server gives four bytes of SRID and well-known binary, longitude first (MySQL's manual,
    "Internal Geometry Storage Format"); ST_AsBinary would swap the axes of some, and lose the SRID."""
    return [value and _ewkb(value) for value in _values(field)]


def _ewkb(value: bytes) -> bytes:
    srid, shape = value[:4], value[4:]
    if srid == bytes(4) or len(shape) < 5:
        return shape
    kind = int.from_bytes(shape[1:5], "little") | 0x20000000
    return shape[:1] + kind.to_bytes(4, "little") + srid + shape[5:]


def _values(field: Field) -> list[bytes | None]:
    return [field.value(row) for row in range(len(field.starts))]


_BY_TYPE: dict[str, Callable[[Column, FoundColumn], ColumnReader | str]] = {
    **dict.fromkeys(("int8", "int16", "int32", "int64"), _integer),
    "decimal": _decimal,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "string": _string,
    "json": _json,
    "binary": _binary,
    "geometry": _geometry,
}


def _text(column: Column, expression: str) -> ColumnReader:
    decode, converted = strings(), converter_for(in_text(column))
    return ColumnReader(expression, lambda field: converted(decode(field)[0]), _spell)


def _shortest(field: Field) -> Array:
    """A float of 32 bits as the shortest number that it stands for, in text."""
    wide = strings()(field)[0].cast(pa.float64())
    values = np.asarray(wide.fill_null(0).to_numpy()).astype(np.float32)
    return pa.array(values.astype(str), pa.string(), mask=field.null)


def _spell(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
