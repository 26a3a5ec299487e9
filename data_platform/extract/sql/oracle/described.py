"""Oracle's columns as declarations: the contract's type that holds each value of a column exactly."""

from __future__ import annotations

from typing import Any

from data_platform.contract import TypeName
from data_platform.extract.sql.oracle.catalog import FoundColumn
from data_platform.extract.sql.oracle.columns import BYTES, INSTANTS, WALL_TIMES, exact_type
from data_platform.feeds.discovery import CatalogColumn

_INTEGERS: tuple[TypeName, ...] = ("int8", "int16", "int32", "int64")
_SAME = {
    **dict.fromkeys(("BINARY_FLOAT", "BINARY_DOUBLE"), "float"),
    **dict.fromkeys(BYTES, "binary"),
    **dict.fromkeys(INSTANTS, "timestamp"),
    "BOOLEAN": "boolean",
    "JSON": "json",
}


def described(column: FoundColumn, zone: str) -> CatalogColumn:
    """The column with the type that holds it. Every value of any other type is held as Oracle's text."""
    type_, also, options, note = _type(column, zone)
    return CatalogColumn(
        column.name, column.type, type_, not column.not_null, column.comment or "", also, options, note
    )


def _type(column: FoundColumn, zone: str) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    if column.kind in WALL_TIMES:
        also: tuple[TypeName, ...] = ("date",) if column.kind == "DATE" else ()
        note = f"{column.kind} has no zone; it is read as {zone}'s clock shows it"
        return "timestamp", also, {"time_zone": zone}, note
    if column.kind in ("NUMBER", "FLOAT"):
        return _number(column)
    if column.kind in ("SDO_GEOMETRY", "ST_GEOMETRY"):
        return "geometry(4326)", ("geometry",), {}, "declare the SRID of its shapes; shapes of any other become rejects"
    return _SAME.get(column.kind, "string"), ("geometry",) if column.kind == "BLOB" else (), {}, ""


def _number(column: FoundColumn) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    exact = exact_type(column)
    if exact is not None:
        precision, scale = exact
        if scale == 0 and precision <= 18:
            wide = "int32" if precision <= 9 else "int64"
            return wide, ("boolean",) if precision == 1 else (), {}, ""
        return f"decimal({max(precision, 1)},{scale})", (), {}, ""
    if column.kind == "NUMBER" and column.scale == 0:  # INTEGER, of 38 digits
        return "decimal(38,0)", _INTEGERS, {}, ""
    note = (
        f"{column.type} may have any number of digits: string holds each; with decimal(p,s) or an integer, values that"
        " don't fit become rejects"
    )
    return "string", ("decimal", *_INTEGERS), {}, note
