"""How each column of a contract is read from a column that SQLAlchemy has reflected.

Values come as the driver gives them, and are spelled out and read by the rule of the contract's type, so that nothing
is rounded on the way. A driver that gives binary fractions for decimals has rounded them already: they are rejects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import types

from data_platform.contract import Column, TypeName
from data_platform.extract.sql.fields import in_text
from data_platform.feeds.discovery import CatalogColumn
from data_platform.values.rejects import Converted
from data_platform.values.shapes import geometries
from data_platform.values.typed import mixed_converter_for, plain

_SPELLED = (
    *(types.String, types.Integer, types.Numeric, types.Boolean, types.Date, types.DateTime, types.Time),
    *(types.Uuid, types.JSON, types.Interval),
)
"""Types whose values are read as text."""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `sql`: its quoted name; `text`: an expression that casts it to text. `held`:
    its type in SQLAlchemy; `type`: as the dialect writes it. `floats`: whether the database itself holds decimals as
    binary fractions, as SQLite does."""

    name: str
    type: str
    held: types.TypeEngine[Any]
    not_null: bool
    comment: str
    sql: str
    text: str
    floats: bool

    readable = True

    @property
    def is_decimal(self) -> bool:
        """Whether it holds decimal numbers."""
        return isinstance(self.held, types.Numeric) and not isinstance(self.held, types.Float)

    @property
    def scale(self) -> int | None:
        """The digits after a decimal's point; None if they aren't declared."""
        return self.held.scale if isinstance(self.held, types.Numeric) else None


@dataclass(frozen=True)
class ColumnReader:
    """Reads one column. `expression`: what is selected of a row."""

    expression: str
    convert: Callable[[Sequence[Any]], Converted]


@dataclass(frozen=True)
class ValuePage:
    """Rows as Python values."""

    readers: Sequence[ColumnReader]
    rows: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def converted(self) -> list[Converted]:
        """The values, by column."""
        columns = zip(*self.rows, strict=True)
        return [reader.convert(values) for reader, values in zip(self.readers, columns, strict=True)]

    def texts(self, row: int) -> list[str | None]:
        """One row's values."""
        return [None if value is None else _text(value) for value in self.rows[row]]


def reader_for(column: Column, found: FoundColumn) -> ColumnReader | str:
    """What reads the column, or what the contract or the database should say instead."""
    held, name = found.held, column.logical.name
    if name in ("binary", "geometry"):
        if not isinstance(held, types.LargeBinary | types.BINARY | types.VARBINARY):
            return "bytes" if name == "binary" else "bytes with well-known binary"
        return ColumnReader(found.sql, _binary if name == "binary" else lambda values: _shapes(column, values))
    if name.startswith("int"):
        fits, wanted = isinstance(held, types.Integer) or (found.is_decimal and not found.scale), "an integer type"
    elif name == "decimal":
        fits, wanted = found.is_decimal or isinstance(held, types.Integer), "a decimal or an integer type"
    elif name == "float":
        fits, wanted = isinstance(held, types.Float), "a floating-point type"
    elif name == "boolean":
        fits, wanted = isinstance(held, types.Boolean), "a boolean"
    elif name == "date":
        fits, wanted = isinstance(held, types.Date), "a date"
    elif name == "time":
        fits, wanted = isinstance(held, types.Time), "a time of day"
    elif name == "timestamp":
        fits, wanted = isinstance(held, types.DateTime), "a timestamp"
        if fits and column.time_zone is None and not getattr(held, "timezone", False):
            return "a timestamp with time zone, or `time_zone` in the contract: the zone of the clock that shows it"
    elif name == "json":
        fits, wanted = isinstance(held, types.JSON | types.String), "JSON, or text that is JSON"
    else:
        fits, wanted = isinstance(held, _SPELLED), "text, a number, a moment, JSON or a UUID"
    if not fits:
        return wanted
    # Drivers parse JSON, and lose its numbers' digits.
    return ColumnReader(found.text if isinstance(held, types.JSON) else found.sql, _by_rule(column, found))


def _by_rule(column: Column, found: FoundColumn) -> Callable[[Sequence[Any]], Converted]:
    rounded = found.is_decimal and not found.floats
    if column.logical.name == "string":

        def spell(values: Sequence[Any]) -> Converted:
            texts = pa.array([None if value is None else _text(value) for value in values], pa.string())
            return Converted(texts, _rounded(values) if rounded else {})

        return spell
    by_rule = mixed_converter_for(plain(in_text(column)))

    def convert(values: Sequence[Any]) -> Converted:
        converted = by_rule([_whole(value) for value in values] if column.logical.name.startswith("int") else values)
        return Converted(converted.array, {**converted.bad, **_rounded(values)}) if rounded else converted

    return convert


def _rounded(values: Sequence[Any]) -> dict[int, str]:
    reason = "came from the driver as a binary fraction, which may not be the decimal that the database holds"
    return {row: reason for row, value in enumerate(values) if isinstance(value, float)}


def _whole(value: Any) -> Any:
    """A number without decimals as an int."""
    try:
        return int(value) if not isinstance(value, str | int) and value == int(value) else value
    except (TypeError, ValueError, OverflowError):
        return value


def _binary(values: Sequence[Any]) -> Converted:
    return Converted(pa.array([None if value is None else bytes(value) for value in values], pa.binary()), {})


def _shapes(column: Column, values: Sequence[Any]) -> Converted:
    return geometries([None if value is None else bytes(value) for value in values], column.logical.args[0])


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def described(found: FoundColumn, zone: str) -> CatalogColumn:
    """How a contract would declare the column: the type that holds each of its values."""
    type_, also, options, note = _described(found, zone)
    return CatalogColumn(found.name, found.type, type_, not found.not_null, found.comment, also, options, note)


def _described(found: FoundColumn, zone: str) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    held = found.held
    if isinstance(held, types.DateTime) and not getattr(held, "timezone", False):
        return "timestamp", (), {"time_zone": zone}, f"{found.type} has no zone; it is read as {zone}'s clock shows it"
    if found.is_decimal:
        precision, scale = getattr(held, "precision", None), found.scale
        if precision is not None and precision <= 38 and not found.floats:
            return f"decimal({precision},{scale or 0})", (), {}, ""
        return "string", ("decimal", "int64"), {}, "string holds each number; declare decimal(p,s) if all of them fit"
    known: tuple[tuple[Any, str], ...] = (
        (types.SmallInteger, "int32"),  # of some systems, it has no sign
        (types.Integer, "int64"),
        (types.Float, "float"),
        (types.Boolean, "boolean"),
        (types.Date, "date"),
        (types.Time, "time"),
        (types.DateTime, "timestamp"),
        (types.JSON, "json"),
        (types.LargeBinary | types.BINARY | types.VARBINARY, "binary"),
    )
    type_ = next((type_ for kind, type_ in known if isinstance(held, kind)), "string")
    also: tuple[TypeName, ...] = ("json",) if isinstance(held, types.String) else ()
    if type_ == "int64":
        also = ("int8", "int16", "int32", "decimal")
    return type_, ("geometry",) if type_ == "binary" else also, {}, ""
