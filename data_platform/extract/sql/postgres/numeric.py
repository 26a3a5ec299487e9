"""Decodes PostgreSQL's numeric to decimals of 128 bits, exactly.

A numeric is digits to the base 10,000, the weight of the first, a sign, and how many decimals it shows
(postgresql.org/docs/current/catalog-pg-type.html; `src/backend/utils/adt/numeric.c`). Numbers of one shape (count of
digits and weight) share their digits' factors, and a page has few shapes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute

from data_platform.contract import Column
from data_platform.extract.sql.fields import Decode, Field, Mask
from data_platform.values.rejects import Array

_POSITIVE, _NEGATIVE = 0x0000, 0x4000
_WORDS = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_WIDEST = 18
"""The digits that an int64 holds, whatever they are."""
_POWERS = 10 ** np.arange(_WIDEST + 1, dtype=np.int64)

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


def decimals(column: Column) -> Decode:
    """numeric as the column's decimal. NaN, infinities, too many digits and uncommonly large or fine numbers are
    suspects, which go by the rule for text."""
    precision, scale = column.logical.args
    whole_digits = precision - scale

    def decode(field: Field) -> tuple[Array, Mask]:
        head = np.where(field.null, np.uint64(0), field.at(">u8", field.starts))
        sign = (head >> np.uint64(16)) & np.uint64(0xFFFF)
        suspects = (sign != _POSITIVE) & (sign != _NEGATIVE)
        suspects |= (head & np.uint64(0xFFFF)) > scale
        whole, fraction = np.zeros((2, len(head)), np.int64)
        shapes = head >> np.uint64(32)
        for shape in np.unique(shapes[~suspects]).tolist():
            digits, weight = shape >> 16, (shape & 0xFFFF ^ 0x8000) - 0x8000
            rows = np.flatnonzero((shapes == shape) & ~suspects)
            if digits and not _is_usual(digits, weight, scale):
                suspects[rows] = True
                continue
            at = field.starts[rows] + 8
            for place in range(digits):
                digit = field.at(">i2", at + 2 * place).astype(np.int64)
                exponent = 4 * (weight - place)
                if exponent >= 0:
                    whole[rows] += digit * _POWERS[exponent]
                elif exponent + scale >= 0:
                    fraction[rows] += digit * _POWERS[exponent + scale]
                else:  # decimals that aren't shown are zeros
                    fraction[rows] += digit // _POWERS[-exponent - scale]
        if whole_digits < _WIDEST:
            suspects |= whole >= _POWERS[whole_digits]
        null = field.null | suspects
        if precision <= _WIDEST:
            units = np.where(null, 0, whole * _POWERS[scale] + fraction)
            high = np.zeros_like(units)
        else:
            units, high = _scaled(np.where(null, 0, whole), 10 ** min(scale, _WIDEST), np.where(null, 0, fraction))
        return _decimal_array(units, high, sign == _NEGATIVE, null, column.arrow_type), suspects

    return decode


def _is_usual(digits: int, weight: int, scale: int) -> bool:
    """Whether the number's whole part and its fraction, in units of the scale, are surely int64."""
    return scale <= _WIDEST and weight < 4 and 4 * (digits - 1 - weight) <= _WIDEST + 2


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
    array: Array = pa.Array.from_buffers(type_, len(low), [None, pa.py_buffer(words.tobytes())])
    return pyarrow.compute.if_else(pa.array(null), None, array) if null.any() else array


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
