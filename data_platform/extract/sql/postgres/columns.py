"""How each column of a contract is read from a column of PostgreSQL: what is selected, and what it becomes.

A type that can't hold every value of the database's exactly is refused before anything is read, except that single
values may be too long or too many digits for it, which are rejects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from data_platform.contract import Column
from data_platform.extract.sql.fields import ColumnReader, Decode, Field, binaries, in_text, strings
from data_platform.extract.sql.postgres import binary, numeric
from data_platform.extract.sql.postgres.catalog import FoundColumn
from data_platform.values.convert import by_rule, converter_for, rule_for
from data_platform.values.rejects import Converted
from data_platform.values.rule import BadValue, shown
from data_platform.values.shapes import geometries

_INTEGERS = ("int2", "int4", "int8")
_SPECIAL = ("numeric", "float4", "float8", "date", "timestamp", "timestamptz")
"""The types with values that aren't finite."""
_SHAPES = ("geometry", "geography")


def reader_for(column: Column, found: FoundColumn) -> ColumnReader | str:
    """What reads the column, or what the contract or the database should say instead."""
    if getattr(column, "special_values", "reject") == "null" and found.builtin in _SPECIAL:
        found = replace(found, special_is_null=True)
    return _BY_TYPE[column.logical.name](column, found)


def _integer(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin in _INTEGERS:
        return _native(column, found.sql, binary.integers(column, found.builtin), binary.spell_integer)
    if found.builtin == "oid" or (found.builtin == "numeric" and (found.scale or 0) <= 0):
        return _as_text(column, found)
    return "an integer type"


def _decimal(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin not in ("numeric", "money", "oid", *_INTEGERS):
        return "numeric, money or an integer type"
    casts = {"numeric": "", "oid": "::int8::numeric"}
    expression = found.sql + casts.get(found.builtin, "::numeric")
    return _native(column, expression, numeric.decimals(column), numeric.spell_numeric)


def _float(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin == "float8":
        return _native(column, found.sql, binary.floats, binary.spell_float)
    # As text, a float4 is the shortest number that it stands for.
    return _as_text(column, found) if found.builtin in ("float4", "int2", "int4") else "double precision or real"


def _boolean(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin != "bool":
        return "boolean"
    return _native(column, found.sql, binary.booleans, binary.spell_boolean)


def _date(column: Column, found: FoundColumn) -> ColumnReader | str:
    return _native(column, found.sql, binary.dates, binary.spell_date) if found.builtin == "date" else "date"


def _time(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin != "time":
        return "time without time zone"
    return _native(column, found.sql, binary.times, binary.spell_time)


def _timestamp(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin == "timestamptz":
        return _native(column, found.sql, binary.instants, binary.spell_instant)
    if found.builtin != "timestamp":
        return "timestamp with or without time zone"
    if column.time_zone is None:
        return "timestamp with time zone, or `time_zone` in the contract: the zone of the clock that shows these times"
    return _native(column, found.sql, binary.wall_times(column.time_zone), binary.spell_timestamp)


def _string(column: Column, found: FoundColumn) -> ColumnReader | str:
    expression = found.sql if found.builtin in ("text", "varchar", "name") else f"{found.sql}::text"
    return _native(column, expression, strings(), binary.spell_text)


def _json(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin == "json":  # kept as it was written: it may name a member twice, which Snowflake refuses
        return _as_text(column, found)
    if found.builtin == "jsonb" or found.is_array or found.kind == "c" or found.base == "hstore":
        expression = found.sql if found.builtin == "jsonb" else f"to_jsonb({found.sql})"
        return _native(column, expression, strings(skip=1), lambda value: value[1:].decode())
    return "json, jsonb, an array or a composite type"


def _binary(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin != "bytea" and found.base not in _SHAPES:
        return "bytea, or PostGIS's geometry or geography, as EWKB"
    return _native(column, f"{found.sql}::bytea", binaries, bytes.hex)


def _geometry(column: Column, found: FoundColumn) -> ColumnReader | str:
    if found.builtin != "bytea" and found.base not in _SHAPES:
        return "PostGIS's geometry or geography, or bytea with well-known binary"
    if found.srid not in (None, column.logical.args[0]):
        return f"shapes of SRID {column.logical.args[0]}"

    def convert(field: Field) -> Converted:
        return geometries(map(field.value, range(len(field.starts))), column.logical.args[0])

    return ColumnReader(f"{found.sql}::bytea", convert, bytes.hex)


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


def _native(column: Column, expression: str, decode: Decode, spell: Callable[[bytes], str]) -> ColumnReader:
    rule = _not_text if column.logical.name == "string" else rule_for(in_text(column))

    def convert(field: Field) -> Converted:
        array, suspects = decode(field)
        if not suspects.any():
            return Converted(array, {})
        rows = np.flatnonzero(suspects & ~field.null)
        texts = [spell(field.value(row) or b"") for row in rows.tolist()]
        return by_rule(array, rows, texts, rule, column)

    return ColumnReader(expression, convert, spell)


def _as_text(column: Column, found: FoundColumn) -> ColumnReader:
    decode, converted = strings(), converter_for(in_text(column))
    return ColumnReader(f"{found.sql}::text", lambda field: converted(decode(field)[0]), binary.spell_text)


def _not_text(text: str) -> Any:
    raise BadValue(f"{shown(text)} is not UTF-8")
