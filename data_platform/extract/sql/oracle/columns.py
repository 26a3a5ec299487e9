"""How each column of a contract is read from a column of Oracle: what is selected, the Arrow type that the driver is
asked for, and what becomes of it.

The driver refuses a whole read for one value that the requested type can't hold, so it is asked only for types that
hold each value of the column; anything else comes as Oracle's text. Which types the driver makes of which is its
documentation's table ("Supported Explicit Type Mapping").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.contract import Column
from data_platform.extract.sql.fields import in_text
from data_platform.extract.sql.oracle.catalog import FoundColumn
from data_platform.values.convert import by_rule, rule_for
from data_platform.values.moment_columns import localized, outside_calendar
from data_platform.values.rejects import Array, Converted
from data_platform.values.rule import BadValue
from data_platform.values.shapes import geometry_from_binary
from data_platform.values.typed import plain, typed_converter_for

TEXTS = ("VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR", "CLOB", "NCLOB", "LONG")
BYTES = ("BLOB", "RAW", "LONG RAW")
LARGE = ("CLOB", "NCLOB", "LONG", "BLOB", "LONG RAW", "JSON", "XMLTYPE", "SDO_GEOMETRY", "ST_GEOMETRY")
"""Types of which one value may be large."""
WALL_TIMES = ("DATE", "TIMESTAMP")
INSTANTS = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH LOCAL TIME ZONE")
INTERVALS = ("INTERVAL DAY TO SECOND", "INTERVAL YEAR TO MONTH")
_SHAPES = {
    "SDO_GEOMETRY": ("SDO_UTIL.TO_WKBGEOMETRY({0})", "{0}.SDO_SRID"),
    "ST_GEOMETRY": ("sde.st_asbinary({0})", "sde.st_srid({0})"),
}
"""Well-known binary, and SRID, of Oracle Spatial's type and of Esri's."""
_SRID = b"SRID="
_SAME_SRID = {4326: (8307,)}
"""Oracle's own numbers for coordinate systems of EPSG: 8307 is WGS 84 with longitude first."""
_DIGITS = 38
_MICROS = pa.timestamp("us")
_TEXT = pa.large_string()


@dataclass(frozen=True)
class ColumnReader:
    """Reads one column. `expression`: what is selected of a row. `requested`: the Arrow type of its values. `large`:
    whether one of them may be large."""

    expression: str
    requested: pa.DataType
    convert: Callable[[Array], Converted]
    large: bool


@dataclass(frozen=True)
class ArrowPage:
    """Rows as the driver gives them."""

    readers: Sequence[ColumnReader]
    table: pa.Table

    def __len__(self) -> int:
        rows: int = self.table.num_rows
        return rows

    @property
    def converted(self) -> list[Converted]:
        """The values, by column."""
        return [
            reader.convert(column.combine_chunks())
            for reader, column in zip(self.readers, self.table.columns, strict=True)
        ]

    def texts(self, row: int) -> list[str | None]:
        """One row's values."""
        return [_spelled(column[row].as_py()) for column in self.table.columns]


def reader_for(column: Column, found: FoundColumn) -> ColumnReader | str:
    """What reads the column, or what the contract or the database should say instead."""
    return _BY_TYPE[column.logical.name](column, found)


def exact_type(found: FoundColumn) -> tuple[int, int] | None:
    """(precision, scale) of the decimal that holds each value of a NUMBER; None if no decimal does."""
    if found.precision is None or found.scale is None:
        return None
    scale = max(found.scale, 0)
    digits = max(found.precision - found.scale, 0) + scale
    return (digits, scale) if digits <= _DIGITS else None


def _number(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind not in ("NUMBER", "FLOAT"):
        return "NUMBER"
    if column.logical.name != "decimal" and found.kind == "FLOAT":
        return "NUMBER without digits after the point"
    if column.logical.name != "decimal" and (found.scale or 0) > 0:
        return "NUMBER without digits after the point"
    exact = exact_type(found)
    if exact is None:  # TM9: as few characters as hold it exactly
        return _by_type(column, found, number_text(found.sql), _TEXT)
    return _by_type(column, found, found.sql, pa.decimal128(*exact))


def _float(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind == "BINARY_FLOAT":
        return ColumnReader(found.sql, pa.float32(), lambda array: Converted(_shortest(array), {}), False)
    if found.kind == "BINARY_DOUBLE":
        return _by_type(column, found, found.sql, pa.float64())
    return "BINARY_DOUBLE or BINARY_FLOAT"


def _boolean(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind == "BOOLEAN":
        return _by_type(column, found, found.sql, pa.bool_())
    if found.kind == "NUMBER" and found.precision == 1 and not found.scale:
        return _by_type(column, found, f"TO_CHAR({found.sql})", _TEXT)
    return "BOOLEAN or NUMBER(1)"


def _date(column: Column, found: FoundColumn) -> ColumnReader | str:
    """Oracle's DATE has a time of day; one that isn't midnight is a reject."""
    if found.kind != "DATE":
        return "DATE"
    rule = rule_for(in_text(column))

    def convert(array: Array) -> Converted:
        days = array.cast(pa.date32(), safe=False)
        timed = pc.not_equal(days.cast(array.type), array).fill_null(False)
        rows = np.flatnonzero(timed.to_numpy(zero_copy_only=False) | outside_calendar(days))
        return by_rule(days, rows, array.cast(pa.string()).take(pa.array(rows)).to_pylist(), rule, column)

    return ColumnReader(found.sql, _MICROS, convert, False)


def _timestamp(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind in INSTANTS:
        return _moment(column.model_copy(update={"time_zone": "UTC"}), found, f"SYS_EXTRACT_UTC({found.sql})")
    if found.kind not in WALL_TIMES:
        return "TIMESTAMP with or without time zone, or DATE"
    if column.time_zone is None:
        return "TIMESTAMP WITH TIME ZONE, or `time_zone` in the contract: the zone of the clock that shows these times"
    return _moment(column, found, found.sql)


def _moment(column: Column, found: FoundColumn, expression: str) -> ColumnReader:
    """A moment as the clocks of the column's zone show it."""
    if found.kind != "DATE" and (found.scale or 0) > 6:  # finer than microseconds: the rule says which can be held
        return _by_type(column, found, moment_text(expression), _TEXT)
    zone, rule = ZoneInfo(column.time_zone or "UTC"), rule_for(in_text(column))

    def convert(array: Array) -> Converted:
        instants, suspects = localized(array, zone)
        rows = np.flatnonzero(suspects | outside_calendar(instants))
        return by_rule(instants, rows, array.cast(pa.string()).take(pa.array(rows)).to_pylist(), rule, column)

    return ColumnReader(expression, _MICROS, convert, False)


def _string(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind in TEXTS:
        return _by_type(column, found, found.sql, _TEXT)
    if found.kind in ("NUMBER", "FLOAT"):
        return _by_type(column, found, number_text(found.sql), _TEXT)
    if found.kind in WALL_TIMES:
        return _by_type(column, found, moment_text(found.sql, found.kind == "DATE"), _TEXT)
    if found.kind in INSTANTS:
        return _by_type(column, found, f"{moment_text(f'SYS_EXTRACT_UTC({found.sql})')} || '+00:00'", _TEXT)
    if found.kind in (*INTERVALS, "BINARY_FLOAT", "BINARY_DOUBLE", "BOOLEAN"):
        return _by_type(column, found, f"TO_CHAR({found.sql})", _TEXT)
    if found.kind in ("ROWID", "UROWID"):
        return _by_type(column, found, f"ROWIDTOCHAR({found.sql})", _TEXT)
    if found.kind == "RAW":
        return _by_type(column, found, f"RAWTOHEX({found.sql})", _TEXT)
    if found.kind == "XMLTYPE":
        return _by_type(column, found, f"XMLSERIALIZE(CONTENT {found.sql} AS CLOB)", _TEXT)
    if found.kind == "JSON":
        return _json(column, found)
    return "text, a number, a moment, an interval, RAW, XMLTYPE, JSON or ROWID"


def _json(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind in TEXTS:
        return _by_type(column, found, found.sql, _TEXT)
    if found.kind == "JSON":  # data frames have no type for it
        return _by_type(column, found, f"JSON_SERIALIZE({found.sql} RETURNING CLOB)", _TEXT)
    return "JSON, or text that is JSON"


def _binary(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.kind in BYTES:
        return _by_type(column, found, found.sql, pa.large_binary())
    return "BLOB or RAW"


def _geometry(column: Column, found: FoundColumn) -> ColumnReader | str:
    srid = column.logical.args[0]
    if found.kind in BYTES:
        return ColumnReader(found.sql, pa.large_binary(), lambda array: _shapes(array, srid), True)
    if found.kind not in _SHAPES:
        return "SDO_GEOMETRY, ST_GEOMETRY, or a BLOB with well-known binary"
    shape, number = (form.format(found.sql) for form in _SHAPES[found.kind])
    right = ", ".join(map(str, (0, srid, *_SAME_SRID.get(srid, ()))))
    expression = (
        f"CASE WHEN NVL({number}, 0) IN ({right}) THEN {shape}"
        f" ELSE TO_BLOB(UTL_RAW.CAST_TO_RAW('{_SRID.decode()}' || {number})) END"
    )
    return ColumnReader(expression, pa.large_binary(), lambda array: _shapes(array, srid), True)


_BY_TYPE: dict[str, Callable[[Column, FoundColumn], ColumnReader | str]] = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "decimal"), _number),
    "float": _float,
    "boolean": _boolean,
    "date": _date,
    "time": lambda column, found: "nothing of Oracle, which has no time without a date: string",
    "timestamp": _timestamp,
    "string": _string,
    "json": _json,
    "binary": _binary,
    "geometry": _geometry,
}


def number_text(sql: str) -> str:
    """A number as text that holds it exactly, whatever its size."""
    return f"TO_CHAR({sql}, 'TM9')"


def moment_text(sql: str, day: bool = False) -> str:
    """A moment as text. `day`: a DATE, which has no fraction of seconds."""
    return f"TO_CHAR({sql}, 'YYYY-MM-DD HH24:MI:SS{'' if day else '.FF9'}')"


def _by_type(column: Column, found: FoundColumn, expression: str, requested: pa.DataType) -> ColumnReader:
    convert = typed_converter_for(plain(in_text(column)), requested)
    if convert is None:
        raise TypeError(f"{requested} becomes no {column.type}")
    return ColumnReader(expression, requested, convert, found.kind in LARGE)


def _shortest(array: Array) -> Array:
    """A float of 32 bits as the shortest number that it stands for."""
    null = array.is_null().to_numpy(zero_copy_only=False)
    values = np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False), np.float32)
    return pa.array(values.astype(str), pa.string(), mask=null).cast(pa.float64())


def _shapes(array: Array, srid: int) -> Converted:
    shapes: list[bytes | None] = []
    bad: dict[int, str] = {}
    for row, value in enumerate(array.to_pylist()):
        try:
            shapes.append(None if value is None else _shape(value, srid))
        except BadValue as error:
            shapes.append(None)
            bad[row] = str(error)
    return Converted(pa.array(shapes, pa.binary()), bad)


def _shape(value: bytes, srid: int) -> bytes:
    if value.startswith(_SRID):
        raise BadValue(f"is in SRID {value.removeprefix(_SRID).decode()}; the column's is {srid}")
    return geometry_from_binary(value, srid)


def _spelled(value: Any) -> str | None:
    return None if value is None else value.hex() if isinstance(value, bytes) else str(value)
