"""Columns of MariaDB and MySQL as declarations: the contract's type that holds each value of a column exactly."""

from __future__ import annotations

from typing import Any

from data_platform.contract import TypeName
from data_platform.extract.sql.mysql.catalog import FoundColumn
from data_platform.extract.sql.mysql.columns import BYTES, SHAPES
from data_platform.feeds.discovery import CatalogColumn

_SIGNED = {"tinyint": "int8", "smallint": "int16", "mediumint": "int32", "int": "int32", "bigint": "int64"}
_UNSIGNED = {"tinyint": "int16", "smallint": "int32", "mediumint": "int32", "int": "int64", "bigint": "decimal(20,0)"}
_SAME = {
    **{"year": "int16", "float": "float", "double": "float", "date": "date", "timestamp": "timestamp", "json": "json"},
    **dict.fromkeys(BYTES, "binary"),
}
_DIGITS = 38


def described(column: FoundColumn, zone: str) -> CatalogColumn:
    """The column with the type that holds it. Every value of any other type is held as the server's text."""
    type_, also, options, note = _type(column, zone)
    return CatalogColumn(column.name, column.type, type_, not column.not_null, column.comment, also, options, note)


def _type(column: FoundColumn, zone: str) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    builtin = column.builtin
    if builtin in _SIGNED:
        also: tuple[TypeName, ...] = ("int64",) if builtin == "bigint" and column.unsigned else ()
        if column.type.startswith("tinyint(1)"):
            also = ("boolean",)
        return (_UNSIGNED if column.unsigned else _SIGNED)[builtin], also, {}, ""
    if builtin == "bit":
        bits = column.precision or 1
        wide = "int64" if bits < 64 else "decimal(20,0)"
        return ("boolean" if bits == 1 else wide), ("int64",) if bits == 64 else (), {}, ""
    if builtin == "decimal":
        return _decimal(column)
    if builtin == "datetime":
        return "timestamp", (), {"time_zone": zone}, f"datetime has no zone; it is read as {zone}'s clock shows it"
    if builtin == "time":
        return "string", ("time",), {}, "time holds up to 838 hours; with type time, those beyond a day become rejects"
    if builtin == "longtext":
        return "string", ("json",), {}, ""
    if builtin in SHAPES:
        note = (
            "its shapes may be of any SRID: binary holds each as EWKB; declare geometry(SRID) if all of them have one"
        )
        return "binary", ("geometry",), {}, note
    return _SAME.get(builtin, "string"), ("geometry",) if builtin in BYTES else (), {}, ""


def _decimal(column: FoundColumn) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    precision, scale = column.precision or 0, column.scale or 0
    if precision <= _DIGITS:
        return f"decimal({precision},{scale})", (), {}, ""
    note = (
        f"{column.type} may have more digits than a decimal: string holds each; with decimal(p,s), values that don't"
        " fit become rejects"
    )
    return "string", ("decimal",) if scale else ("decimal", "int64"), {}, note
