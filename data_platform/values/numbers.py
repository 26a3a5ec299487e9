"""Whole numbers, decimals and floats: their rules, and the same for whole columns."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import numpy as np
import pyarrow as pa

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.kernels import (
    Mask,
    attempt,
    cast,
    has_byte,
    mask,
    pc,
    text_bytes,
    union,
    with_other_than_digits,
)
from data_platform.values.rejects import Array
from data_platform.values.rule import BadValue, Rule, shown

INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
# A fraction of zeros is none: 5.0, as programs write whole numbers that may be missing. Not 1.000, which is also how a
# thousand is written.
_INTEGER = {mark: re.compile(rf"([+-]?[0-9]+)(?:[{mark}](?:0{{1,2}}|0{{4,}}))?") for mark in (".", ",")}
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FLOAT_WORD = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
TOO_FINE = "digits after the decimal mark"
_DIGITS = 38  # of a decimal of 128 bits
# No precision limit that a value could meet: a decimal's digits are checked, never rounded.
_EXACT = Context(prec=400, Emin=-2_000_000_000, Emax=2_000_000_000)


def integer_rule(column: FileColumn) -> Rule:
    bits = INTEGER_BITS[column.logical.name]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    pattern = _INTEGER[column.decimal_mark]

    def parse(text: str) -> int:
        match = pattern.fullmatch(text)
        if not match:
            raise BadValue(f"{shown(text)} is not a whole number")
        digits = match[1].lstrip("+-").lstrip("0")
        value = int(match[1]) if len(digits) <= 19 else high + 1
        if not low <= value <= high:
            raise BadValue(f"{shown(text)} is outside {low}..{high} (int{bits})")
        return value

    return parse


def whole(number: str) -> str:
    """A number's text without the fraction or exponent that a whole number doesn't need: 12.000 and 1.2e1 are 12."""
    if number.lstrip("+-").isdigit() or not _DECIMAL.fullmatch(number):
        return number
    try:
        value = Decimal(number)
    except InvalidOperation:
        return number
    is_whole = value.adjusted() < _DIGITS and value == value.to_integral_value(context=_EXACT)
    return format(value.to_integral_value(context=_EXACT), "f") if is_whole else number


def _pointed(text: str, column: FileColumn) -> str:
    """The number with a decimal point, whatever mark the column uses."""
    if column.decimal_mark == ".":
        return text
    if "." in text:
        raise BadValue(f"{shown(text)} has a point; the column's decimal mark is ','")
    return text.replace(",", ".")


def decimal_rule(column: FileColumn) -> Rule:
    precision, scale = column.logical.args
    limit = Decimal(10) ** (precision - scale)
    step = Decimal(1).scaleb(-scale)

    def parse(text: str) -> Decimal:
        pointed = _pointed(text, column)
        if not _DECIMAL.fullmatch(pointed):
            raise BadValue(f"{shown(text)} is not a decimal number")
        try:
            value = Decimal(pointed)
        except InvalidOperation:
            raise BadValue(f"{shown(text)} is not a decimal number") from None
        if value.copy_abs() >= limit:
            raise BadValue(f"{shown(text)} has more than {precision - scale} digits before the decimal mark")
        if column.rounding == "places":
            return _rounded(value, step, limit, text)
        # An exponent far below the scale can't be quantized within the context: it is zero or too fine.
        if value and value.adjusted() < -scale:
            raise BadValue(f"{shown(text)} has more than {scale} {TOO_FINE}")
        exact = value.quantize(step, context=_EXACT) if value else Decimal(0).scaleb(-scale)
        if exact != value:
            raise BadValue(f"{shown(text)} has more than {scale} {TOO_FINE}")
        return exact

    return parse


def _rounded(value: Decimal, step: Decimal, limit: Decimal, text: str) -> Decimal:
    """The number to the column's places, half away from zero, as Excel does."""
    if value.adjusted() < step.adjusted() - 1:
        return Decimal(0).quantize(step)
    rounded = value.quantize(step, rounding=ROUND_HALF_UP, context=_EXACT)
    if rounded.copy_abs() >= limit:
        raise BadValue(f"{shown(text)} is rounded to more digits before the decimal mark than the column has")
    return rounded


def float_rule(column: FileColumn) -> Rule:
    return lambda text: _float(_pointed(text, column))


def _float(text: str) -> float:
    if _FLOAT_WORD.fullmatch(text):
        return float(text)
    if not _FLOAT.fullmatch(text):
        raise BadValue(f"{shown(text)} is not a number")
    value = float(text)
    if math.isinf(value):
        raise BadValue(f"{shown(text)} is beyond the range of a 64-bit float")
    return value


def integers(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    return attempt(texts, cast(column.arrow_type), with_other_than_digits(texts, b"+-"))


def _marked(texts: Array, column: FileColumn) -> tuple[Array, Mask | None]:
    """Numbers with a decimal point, and the rows that mix the marks."""
    if column.decimal_mark == ".":
        return texts, None
    pointed = mask(pc.match_substring(texts, ".")) if has_byte(texts, b".") else None
    return pc.replace_substring(texts, ",", "."), pointed


def decimals(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    plain, suspects = _marked(texts, column)
    suspects = union(suspects, with_other_than_digits(plain, b".+-"))
    suspects = union(suspects, _of_another_size(plain, column.logical.args[1]))
    return attempt(plain, cast(column.arrow_type), suspects)


def _of_another_size(texts: Array, scale: int) -> Mask | None:
    """Numbers with more than `scale` digits after the point, which Arrow refuses, or with so many before it that they
    don't fit 128 bits at that scale: Arrow lets those wrap round. None where there are none."""
    data, starts = text_bytes(texts)
    points = starts[1:] - scale - 1
    usual = points >= starts[:-1]
    usual[usual] = data[points[usual]] == ord(".")
    usual &= np.diff(starts) <= _DIGITS
    rows = np.flatnonzero(~usual)
    others = texts.take(pa.array(rows))
    lengths, at = pc.binary_length(others), pc.find_substring(others, ".")
    before = pc.if_else(pc.less(at, 0), lengths, at)
    wrong = mask(
        pc.or_(pc.greater(pc.subtract(lengths, before), scale + 1), pc.greater(before, min(_DIGITS, _DIGITS - scale)))
    )
    if not wrong.any():
        return None
    found = np.zeros(len(texts), dtype=bool)
    found[rows[wrong]] = True
    return found


def floats(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    plain, suspects = _marked(texts, column)
    # Arrow takes nan(1), and reads 1e400 as infinity.
    suspects = union(suspects, with_other_than_digits(plain, b"+-.eE"))
    array, found = attempt(plain, cast(column.arrow_type), suspects)
    infinite = pc.is_inf(array)
    return array, found | mask(infinite) if pc.any(infinite).as_py() else found
