"""PostgreSQL's columns as declarations: the contract's type that holds each value of a column exactly."""

from __future__ import annotations

from typing import Any

from data_platform.contract import TypeName
from data_platform.extract.sql.postgres.catalog import FoundColumn
from data_platform.feeds.discovery import CatalogColumn

_SAME: dict[str, str] = {
    "bool": "boolean",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float",
    "float8": "float",
    "date": "date",
    "time": "time",
    "timestamptz": "timestamp",
    "json": "json",
    "jsonb": "json",
    "bytea": "binary",
    "money": "decimal(19,2)",
    "oid": "int64",
}
_ALSO: dict[str, tuple[TypeName, ...]] = {"bytea": ("geometry",), "money": ("decimal",)}
_DIGITS = 38


def described(column: FoundColumn, zone: str) -> CatalogColumn:
    """The column with the type that holds it. Every value of any other type is held as PostgreSQL's text."""
    type_, also, options, note = _type(column, zone)
    return CatalogColumn(
        column.name, column.type, type_, not column.not_null, column.comment or "", also, options, note
    )


def _type(column: FoundColumn, zone: str) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    builtin = column.builtin
    if column.is_array or column.kind == "c" or column.base == "hstore":
        return "json", (), {}, ""
    if builtin == "timestamp":
        return "timestamp", (), {"time_zone": zone}, f"timestamp without time zone, read as {zone}'s clock shows it"
    if builtin == "numeric":
        return _numeric(column)
    if column.base in ("geometry", "geography"):
        return _shape(column)
    return _SAME.get(builtin, "string"), _ALSO.get(builtin, ()), {}, ""


def _numeric(column: FoundColumn) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    precision, scale = column.precision, column.scale
    if precision is not None and scale is not None:
        whole, scale = max(precision - scale, 0), max(scale, 0)
        if whole + scale <= _DIGITS:
            return f"decimal({max(whole + scale, 1)},{scale})", (), {}, ""
    note = (
        f"{column.type} may have more digits than a decimal: string holds each; with decimal(p,s), values that"
        " don't fit become rejects"
    )
    also: tuple[TypeName, ...] = ("decimal",) if scale else ("decimal", "int8", "int16", "int32", "int64")
    return "string", also, {}, note


def _shape(column: FoundColumn) -> tuple[str, tuple[TypeName, ...], dict[str, Any], str]:
    if column.srid is None:
        note = "its shapes may have any SRID: binary holds each as EWKB; declare geometry(SRID) if all of them have one"
        return "binary", ("geometry",), {}, note
    if column.dimensions > 2:
        note = f"{column.type} has more than two coordinates a point; Snowflake's GEOMETRY has two: binary holds all"
        return "binary", ("geometry",), {}, note
    return f"geometry({column.srid})", ("binary",), {}, ""
