"""Typed values (Arrow scalars) as JSON that any parser accepts. Text that is JSON already: `words.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from data_platform.values.rule import BadValue


def json_of(scalar: Any) -> str:
    """A value as JSON: numbers with every digit, dates and times in ISO 8601, bytes in hexadecimal, a map as an object.
    Raises BadValue for what JSON can't hold, and for an object that names a member twice."""
    try:
        return _written(scalar, strict=True)
    except RecursionError:
        raise BadValue("is nested too deep") from None


def shown_row(names: Iterable[str], scalars: Iterable[Any]) -> str:
    """A row as JSON for people to read; a value that JSON can't hold is shown as Arrow writes it."""
    try:
        values = [_written(scalar, strict=False) for scalar in scalars]
    except RecursionError:
        return "(nested too deep to be shown)"
    return "{" + ", ".join(f"{_quoted(name)}: {value}" for name, value in zip(names, values, strict=True)) + "}"


def _written(scalar: Any, *, strict: bool) -> str:
    if not scalar.is_valid:
        return "null"
    kind = scalar.type
    if isinstance(kind, pa.UuidType):
        return _quoted(str(scalar.as_py()))
    if isinstance(kind, pa.DictionaryType | pa.BaseExtensionType):
        return _written(scalar.value, strict=strict)
    if pa.types.is_struct(kind):
        return _object([(kind.field(at).name, scalar[at]) for at in range(kind.num_fields)], strict)
    if pa.types.is_map(kind):
        entries = scalar.values
        keys = [_unquoted(_written(key, strict=strict)) for key in entries.field(0)]
        return _object(list(zip(keys, entries.field(1), strict=True)), strict)
    if pa.types.is_nested(kind):
        return "[" + ",".join(_written(value, strict=strict) for value in scalar.values) + "]"
    try:
        return _leaf(scalar)
    except BadValue:
        if strict:
            raise
        return _quoted(_as_arrow_writes_it(scalar))


def _object(members: list[tuple[str, Any]], strict: bool) -> str:
    if strict and len({name for name, _ in members}) != len(members):
        raise BadValue("an object names a member twice")
    return "{" + ",".join(f"{_quoted(name)}:{_written(value, strict=strict)}" for name, value in members) + "}"


def _leaf(scalar: Any) -> str:
    kind = scalar.type
    try:
        value = scalar.as_py()
    except UnicodeDecodeError:
        raise BadValue("holds text that is not UTF-8") from None
    except (OverflowError, ValueError):
        raise BadValue(f"holds a {kind} outside the years 1..9999, or out of its range") from None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue(f"holds {'NaN' if math.isnan(value) else 'an infinity'}, which is not JSON")
        # A narrow float is the shortest decimal that it stands for, not what it widens to.
        return repr(value) if pa.types.is_float64(kind) else str(scalar.cast(pa.string()).as_py())
    if isinstance(value, bytes):
        return _quoted(value.hex())
    if isinstance(value, datetime | date | time):
        return _quoted(value.isoformat())
    if isinstance(value, str | timedelta):
        return _quoted(str(value))
    return format(value, "f") if pa.types.is_decimal(kind) else str(value)


def _as_arrow_writes_it(scalar: Any) -> str:
    if pa.types.is_string(scalar.type) or pa.types.is_large_string(scalar.type):
        return bytes(scalar.as_buffer()).decode("utf-8", "backslashreplace")
    return str(pa.array([scalar], scalar.type).cast(pa.string())[0].as_py())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text
