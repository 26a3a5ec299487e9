"""Values that a file already holds as numbers, dates and so on (Parquet, Excel, JSON), to the contract's types.

A value of the column's type is taken as it is; any other is spelled out and goes by its type's rule for text, so
that 12.0 is a whole number, 12.5 is not, and nothing is rounded on the way. How the column spells values in text
(formats, decimal mark, null words) doesn't apply to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.convert import converter_for
from data_platform.values.json_text import json_of, json_writes, quick_json_of
from data_platform.values.kernels import mask, pc
from data_platform.values.moment_columns import outside_calendar
from data_platform.values.numbers import INTEGER_BITS, TOO_FINE, whole
from data_platform.values.rejects import Array, Converted
from data_platform.values.rule import BadValue
from data_platform.values.shapes import geometries

Convert = Callable[[Array], Converted]

_OUTSIDE = "is outside the years 1..9999"
_NO_TIME = "is not a time of day: it is negative, or 24 hours or more"
_DAY = 86_400_000_000

# Integral floats up to here are exact; above, they are spelled with an exponent.
_EXACT_FLOAT = 2**53


def plain(column: FileColumn) -> FileColumn:
    """The column as it reads canonical text: ISO 8601, decimal points, no null words."""
    return column.model_copy(
        update={
            "formats": (),
            "decimal_mark": ".",
            "null_words": (),
            "true_words": (*column.true_words, "true"),
            "false_words": (*column.false_words, "false"),
        }
    )


class NumberText(str):
    """A number as a file writes it, for formats that have numbers apart from text."""

    __slots__ = ()


def spelled(value: Any) -> str | None:
    """Canonical text of a Python value; None is null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_FLOAT else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def mixed_converter_for(column: FileColumn) -> Callable[[Sequence[Any]], Converted]:
    """What converts Python values of mixed types; text among them goes by the column's own spelling."""
    by_text, by_type = converter_for(column), converter_for(plain(column))

    def convert(values: Sequence[Any]) -> Converted:
        is_text = [isinstance(value, str) and not isinstance(value, NumberText) for value in values]
        parted = list(zip(values, is_text, strict=True))
        texts = by_text(pa.array([value if text else None for value, text in parted], pa.string()))
        others = by_type(
            pa.array([None if text else _spelled_for(column, value) for value, text in parted], pa.string())
        )
        array = pc.if_else(pa.array(is_text, pa.bool_()), texts.array, others.array)
        return Converted(array, {**texts.bad, **_hinted(others.bad, column)})

    return convert


def _hinted(bad: Mapping[int, str], column: FileColumn) -> dict[int, str]:
    """The reasons; of a number with too many digits, which the arithmetic of binary fractions also makes, with the
    option that rounds it."""
    if column.rounding != "exact":
        return dict(bad)
    hint = f"{TOO_FINE}; the column's rounding is exact"
    return {row: reason.replace(TOO_FINE, hint) if reason.endswith(TOO_FINE) else reason for row, reason in bad.items()}


def _spelled_for(column: FileColumn, value: Any) -> str | None:
    """Spelled; a whole number without a fraction where the column has whole numbers."""
    if column.rounding != "exact" and isinstance(value, float):
        value = _fifteen_digits(value)
    text = spelled(value)
    if text is not None and isinstance(value, NumberText | Decimal) and column.logical.name in INTEGER_BITS:
        return whole(text)
    return text


def _fifteen_digits(value: float) -> float:
    """As a number is shown by Excel, whose cells, like all binary fractions, hold 435 as 434.9999999999999 after some
    arithmetic (support.microsoft.com: Excel specifications and limits, number precision)."""
    return float(f"{value:.15g}")


def typed_converter_for(column: FileColumn, source: pa.DataType) -> Convert | None:
    """What converts arrays of the Arrow type `source`, or None where no value of that type can be one of the
    column's."""
    if pa.types.is_dictionary(source):
        inner = typed_converter_for(column, source.value_type)
        return inner and (lambda array: inner(array.dictionary_decode()))
    if isinstance(source, pa.UuidType):
        as_text = converter_for(plain(column))
        return lambda array: as_text(pa.array([spelled(value) for value in array.to_pylist()], pa.string()))
    if isinstance(source, pa.BaseExtensionType):
        stored = typed_converter_for(column, source.storage_type)
        return stored and (lambda array: stored(array.storage))
    if _is_text(source):
        by_text = converter_for(column)
        return lambda array: _valid_text(array.cast(pa.string()), by_text)
    if _is_bytes(source):
        return _bytes_converter(column)
    if pa.types.is_nested(source) and column.logical.name == "json":
        return _as_json
    if pa.types.is_nested(source) or pa.types.is_duration(source) or pa.types.is_interval(source):
        return None
    by_spelling = converter_for(plain(column))
    rounded = column.rounding != "exact" and pa.types.is_float64(source)

    def convert(array: Array) -> Converted:
        if rounded:
            array = pa.array([None if v is None else _fifteen_digits(v) for v in array.to_pylist()], pa.float64())
        if _same_family(source, column.arrow_type):
            try:
                return _within_bounds(array.cast(column.arrow_type))
            except pa.ArrowInvalid:
                pass
        texts = _spelled_array(array)
        if pa.types.is_decimal(source) and column.logical.name in INTEGER_BITS:
            texts = pa.array([text and whole(text) for text in texts.to_pylist()], pa.string())
        converted = by_spelling(texts)
        if pa.types.is_floating(source):
            return Converted(converted.array, _hinted(converted.bad, column))
        if not pa.types.is_temporal(source):
            return converted
        # Arrow spells a moment that it can't compute so.
        far = np.flatnonzero(mask(pc.starts_with(texts, "<value out of range"))).tolist()
        reason = _NO_TIME if pa.types.is_time(source) else _OUTSIDE
        return Converted(converted.array, {**converted.bad, **dict.fromkeys(far, reason)})

    return convert


def _as_json(array: Array) -> Converted:
    if json_writes(array.type):
        try:
            return Converted(pa.array(quick_json_of(array), pa.string()), {})
        except (ValueError, OverflowError, RecursionError):  # of a value that JSON can't hold; which one, shows below
            pass
    texts: list[str | None] = []
    bad = {}
    for row, scalar in enumerate(array):
        try:
            texts.append(json_of(scalar) if scalar.is_valid else None)
        except BadValue as error:
            texts.append(None)
            bad[row] = str(error)
    return Converted(pa.array(texts, pa.string()), bad)


def _valid_text(texts: Array, convert: Convert) -> Converted:
    """Text that isn't UTF-8, which Arrow lets through, made rejects."""
    try:
        texts.validate(full=True)
        return convert(texts)
    except pa.ArrowInvalid:
        pass
    kept: list[str | None] = []
    bad = {}
    for row, value in enumerate(texts.cast(pa.binary()).to_pylist()):
        try:
            kept.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            kept.append(None)
            bad[row] = f"byte 0x{value[error.start]:02X} at byte {error.start + 1} is not UTF-8"
    converted = convert(pa.array(kept, pa.string()))
    return Converted(converted.array, {**converted.bad, **bad})


def _is_text(type: pa.DataType) -> bool:
    return pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)


def _is_bytes(type: pa.DataType) -> bool:
    return (
        pa.types.is_binary(type)
        or pa.types.is_large_binary(type)
        or pa.types.is_binary_view(type)
        or pa.types.is_fixed_size_binary(type)
    )


def _same_family(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether Arrow's checked cast between the two keeps every value that it takes."""
    exact = (
        (pa.types.is_integer, pa.types.is_integer),
        (pa.types.is_floating, pa.types.is_floating),
        (pa.types.is_boolean, pa.types.is_boolean),
        (pa.types.is_decimal, pa.types.is_decimal),
        (pa.types.is_date32, pa.types.is_date32),
        (pa.types.is_time, pa.types.is_time),
        (_is_instant, _is_instant),
    )
    return any(one(source) and other(target) for one, other in exact)


def _is_instant(type: pa.DataType) -> bool:
    return isinstance(type, pa.TimestampType) and type.tz is not None


def _within_bounds(array: Array) -> Converted:
    """Dates and instants outside the years 1..9999, and times outside the day, made rejects."""
    if pa.types.is_time(array.type):
        micros = array.cast(pa.int64())
        rows = np.flatnonzero(mask(pc.or_(pc.less(micros, 0), pc.greater_equal(micros, _DAY)))).tolist()
        return Converted(array, dict.fromkeys(rows, _NO_TIME))
    if not (pa.types.is_date(array.type) or pa.types.is_timestamp(array.type)):
        return Converted(array, {})
    rows = np.flatnonzero(outside_calendar(array)).tolist()
    return Converted(array, dict.fromkeys(rows, _OUTSIDE))


def _spelled_array(array: Array) -> Array:
    if _is_instant(array.type):
        array = array.cast(pa.timestamp(array.type.unit, tz="UTC"))
    if pa.types.is_floating(array.type):
        narrow = {pa.float16(): np.float16, pa.float32(): np.float32}.get(array.type)
        # A narrow float is the shortest decimal that it stands for, not what it widens to.
        values = array.to_pylist()
        if narrow is not None:
            values = [None if value is None else float(str(narrow(value))) for value in values]
        return pa.array([spelled(value) for value in values], pa.string())
    if pa.types.is_date64(array.type):
        array = array.cast(pa.date32())
    return array.cast(pa.string())


def _bytes_converter(column: FileColumn) -> Convert | None:
    if column.logical.name == "binary":
        return lambda array: Converted(array.cast(pa.binary()), {})
    if column.logical.name != "geometry":
        return None

    return lambda array: geometries(array.cast(pa.binary()).to_pylist(), column.logical.args[0])
