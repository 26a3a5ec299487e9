"""Decodes PostgreSQL's numeric to decimals of 128 bits, exactly.

A numeric is digits to the base 10,000, the weight of the first, a sign, and how many decimals it shows
(postgresql.org/docs/current/catalog-pg-type.html; `src/backend/utils/adt/numeric.c`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.extract.sql.fields import Decode, Field, windows
from data_platform.values.kernels import Mask, array_of
from data_platform.values.rejects import Array

_POSITIVE, _NEGATIVE = 0x0000, 0x4000
_WORDS = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_WIDEST = 18
"""The digits that an int64 holds, whatever they are."""
_PLACES = 6
"""Of the digits to the base 10,000, those that are read with the number's head."""
_POWERS = 10 ** np.arange(_WIDEST + 1, dtype=np.int64)

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


def decimals(column: Column) -> Decode:
    """numeric as the column's decimal. NaN, infinities, too many digits and uncommonly large or fine numbers are
    suspects, which go by the rule for text."""
    precision, scale = column.logical.args

    def decode(field: Field) -> tuple[Array, Mask]:
        head = np.where(field.null, np.uint64(0), field.part(">u8", 0))
        count, weight = (head >> np.uint64(48)).astype(np.int64), (head >> np.uint64(32)).astype(np.int16)
        sign = (head >> np.uint64(16)).astype(np.uint16)
        suspects = (sign != _POSITIVE) & (sign != _NEGATIVE)
        suspects |= head.astype(np.uint16) > scale
        small = ~suspects & (count <= _PLACES) & (weight < (_WIDEST - scale) // 4)
        low = np.where(small, _units(field, np.where(small, count, 0), weight.astype(np.int64), scale), 0)
        high = np.zeros_like(low)
        if precision < _WIDEST:
            suspects |= low >= _POWERS[precision]
        if not small.all() and len(large := np.flatnonzero(~small & ~suspects)):
            whole, fraction, beyond = _parts(field, large, (head >> np.uint64(32))[large], scale)
            if precision - scale < _WIDEST:
                beyond |= whole >= _POWERS[precision - scale]
            low[large], high[large] = _scaled(whole, 10 ** min(scale, _WIDEST), fraction)
            suspects[large] = beyond
        return _decimal_array(low, high, sign == _NEGATIVE, field.null | suspects, column.arrow_type), suspects

    return decode


def _units(field: Field, count: Integers, weight: Integers, scale: int) -> Integers:
    """Numbers in units of the scale, of which an int64 holds any with that weight."""
    units, most = np.zeros_like(count), int(count.max(initial=0))
    for first in range(0, most, 4):
        digits, last = np.zeros_like(count), min(first + 4, most)
        for place in range(first, last):
            digits = digits * 10_000 + np.where(place < count, field.part(">i2", 8 + 2 * place), 0)
        exponent = 4 * (weight + 1 - last) + scale
        digits *= _POWERS[np.minimum(np.maximum(exponent, 0), _WIDEST)]
        if exponent.min() < 0:  # such digits end with so many zeros: decimals that aren't shown are zeros
            digits //= _POWERS[np.minimum(np.maximum(-exponent, 0), _WIDEST)]
        units += digits
    return units


def _parts(field: Field, rows: Integers, shapes: np.ndarray[Any, Any], scale: int) -> tuple[Integers, Integers, Mask]:
    """The numbers of these rows: their whole parts, their fractions in units of the scale, and where one of both may
    be no int64. Numbers of one shape (count of digits and weight) share their digits' factors."""
    whole, fraction = np.zeros((2, len(rows)), np.int64)
    beyond = np.zeros(len(rows), dtype=bool)
    for shape in np.unique(shapes).tolist():
        digits, weight = shape >> 16, (shape & 0xFFFF ^ 0x8000) - 0x8000
        same = np.flatnonzero(shapes == shape)
        if digits and not (scale <= _WIDEST and weight < 4 and 4 * (digits - 1 - weight) <= _WIDEST + 2):
            beyond[same] = True
            continue
        at = field.starts[rows[same]] + 8
        for place in range(digits):
            digit = windows(field.data, at + 2 * place, 2).view(">i2")[:, 0].astype(np.int64)
            exponent = 4 * (weight - place)
            if exponent >= 0:
                whole[same] += digit * _POWERS[exponent]
            elif exponent + scale >= 0:
                fraction[same] += digit * _POWERS[exponent + scale]
            else:
                fraction[same] += digit // _POWERS[-exponent - scale]
    return whole, fraction, beyond


def _scaled(whole: Integers, factor: int, fraction: Integers) -> tuple[Integers, Integers]:
    """(low, high) words of whole * factor + fraction; none of them is negative, and the factor is below 2**63."""
    low32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    value = whole.astype(np.uint64)
    factor_low, factor_high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    value_low, value_high = value & low32, value >> half
    low_low, low_high = value_low * factor_low, value_low * factor_high
    high_low, high_high = value_high * factor_low, value_high * factor_high
    middle = (low_low >> half) + (low_high & low32) + (high_low & low32)
    low = (low_low & low32) | (middle << half)
    high = high_high + (low_high >> half) + (high_low >> half) + (middle >> half)
    total = low + fraction.astype(np.uint64)
    return total.astype(np.int64), (high + (total < low)).astype(np.int64)


def _decimal_array(low: Integers, high: Integers, negative: Mask, null: Mask, type_: pa.DataType) -> Array:
    words = np.empty((len(low), 2), np.int64)
    words[:, 0] = np.where(negative, -low, low)
    words[:, 1] = np.where(negative, ~high + (low == 0), high)
    return array_of(words, null, type_)


def spell_numeric(value: bytes) -> str:
    """A numeric as PostgreSQL writes it."""
    count, weight, sign, shown = (int(part) for part in np.frombuffer(value[:8], ">u2"))
    if sign in _WORDS:
        return _WORDS[sign]
    weight = (weight ^ 0x8000) - 0x8000
    digits = np.frombuffer(value[8:], ">i2", count).tolist()

    def group(place: int) -> int:
        """The digit of the weight `place`."""
        at = weight - place
        return digits[at] if 0 <= at < count else 0

    whole = "".join(f"{group(place):04d}" for place in range(max(weight, 0), -1, -1)).lstrip("0") or "0"
    fraction = "".join(f"{group(-place):04d}" for place in range(1, (shown + 3) // 4 + 1))[:shown]
    return ("-" if sign == _NEGATIVE else "") + whole + ("." + fraction if shown else "")
