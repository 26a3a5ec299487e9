"""Typed values (Arrow scalars) as JSON that any parser accepts. Text that is JSON already: `words.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from itertools import accumulate, repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute

from data_platform.values.rule import BadValue

pc: Any = pyarrow.compute  # whose stubs type each kernel by the value types of its arguments
_AT_ONCE = 1_024
"""Rows that are Python objects at a time."""


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat()) if isinstance(value, datetime | date | time) else str(value)


_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_text).encode


def json_of(scalar: Any) -> str:
    """A value as JSON: numbers with every digit, dates and times in ISO 8601, bytes in hexadecimal, a map as an object.
    Raises BadValue for what JSON can't hold, and for an object that names a member twice."""
    try:
        return _written(scalar, strict=True)
    except RecursionError:
        raise BadValue("is nested too deep") from None


_PLAIN = (
    *(pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_float64, pa.types.is_string),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration, pa.types.is_binary),
)


def json_writes(kind: pa.DataType) -> bool:
    """Whether Python's JSON writes every value of this type as `json_of` does, which takes twenty times as long."""
    if pa.types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        return len(set(names)) == len(names) and all(json_writes(kind.field(name).type) for name in names)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return json_writes(kind.value_type)
    return any(is_plain(kind) for is_plain in _PLAIN)


def quick_json_of(array: Any) -> list[str | None]:
    """`json_of` of each value of a type that `json_writes`; None for null. Raises ValueError, OverflowError
    or RecursionError where `json_of` raises BadValue for any of them."""
    return [
        None if value is None else _write(value)
        for begin in range(0, len(array), _AT_ONCE)
        for value in _values(array.slice(begin, _AT_ONCE))
    ]


def _values(array: Any) -> list[Any]:
    """As `to_pylist`, which makes a scalar of each value within another."""
    kind = array.type
    if not pa.types.is_nested(kind):
        return list(array.to_pylist())
    if pa.types.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        members = zip(*map(_values, array.flatten()), strict=True) if names else repeat((), len(array))
        found: list[Any] = [dict(zip(names, row, strict=True)) for row in members]
    else:
        inner, lengths = _values(array.flatten()), pc.fill_null(pc.list_value_length(array), 0)
        ends = list(accumulate(lengths.to_pylist()))
        found = [inner[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    return [value if valid else None for value, valid in zip(found, array.is_valid().to_pylist(), strict=True)]


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
    if isinstance(value, str | bytes | datetime | date | time | timedelta):
        return _quoted(_as_text(value))
    return format(value, "f") if pa.types.is_decimal(kind) else str(value)


def _as_arrow_writes_it(scalar: Any) -> str:
    if pa.types.is_string(scalar.type) or pa.types.is_large_string(scalar.type):
        return bytes(scalar.as_buffer()).decode("utf-8", "backslashreplace")
    return str(pa.array([scalar], scalar.type).cast(pa.string())[0].as_py())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text
