"""Applies an Arrow kernel to a column of which it refuses some values.

A kernel is used only where the type's rule accepts each value that the kernel accepts, with the same result; a property
test checks that. Values that a kernel refuses, or is known to misread, are suspects, which the rule judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from data_platform.values.rejects import Array

# pyarrow-stubs type each kernel by the value types of its arguments, which only the contract knows here.
pc: Any = pyarrow.compute

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Offsets = np.ndarray[tuple[int], np.dtype[np.int32]]
Kernel = Callable[[Array], Array]
# From a column's text: its values, anything at the suspects, and which rows are suspects.
Attempt = Callable[[Array], tuple[Array, Mask]]

# A kernel that refuses a column doesn't say at which row, and takes as long to fail as to succeed. It is applied again
# to slices of this length; within a slice that it refuses, halving finds the bad rows as long as they are few. Behind a
# slice with many, it is applied once to each: a value that is refused costs ten times what the rule takes for it.
_SLICE, _FEW = 512, 8
_NULL = pa.nulls(1, pa.string())


def attempt(texts: Array, kernel: Kernel, suspects: Mask | None = None) -> tuple[Array, Mask]:
    """The kernel's values, null where it refuses one, and those rows; `suspects` are kept from it altogether."""
    found = np.zeros(len(texts), dtype=bool) if suspects is None else suspects
    if found.any():
        texts = pc.if_else(pa.array(found), None, texts)
    try:
        return kernel(texts), found
    except pa.ArrowInvalid:
        return pa.concat_arrays(list(_pieces(texts, kernel, found))), found


def _pieces(texts: Array, kernel: Kernel, found: Mask) -> Iterator[Array]:
    """The values in order; a row that the kernel refuses, or that is among many such, is null and marked in `found`."""
    many = False
    for begin in range(0, len(texts), _SLICE):
        rest, halvings = texts.slice(begin, _SLICE), 0 if many else _FEW
        while (values := _unless_refused(kernel, rest)) is None and halvings:
            halvings -= 1
            good = _taken(kernel, rest)
            yield kernel(rest.slice(0, good))
            yield kernel(_NULL)
            found[begin + good] = True
            begin += good + 1
            rest = rest.slice(good + 1)
        many = values is None
        if values is None:
            found[begin : begin + len(rest)] = True
            values = kernel(pa.nulls(len(rest), pa.string()))
        yield values


def _taken(kernel: Kernel, texts: Array) -> int:
    """How many rows there are before the first that the kernel refuses; there is one."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        taken = _unless_refused(kernel, texts.slice(low, middle - low)) is not None
        low, high = (middle, high) if taken else (low, middle)
    return low


def _unless_refused(kernel: Kernel, texts: Array) -> Array | None:
    try:
        return kernel(texts)
    except pa.ArrowInvalid:
        return None


def cast(to: pa.DataType) -> Kernel:
    return lambda texts: pc.cast(texts, to)


def has_byte(texts: Array, characters: bytes) -> bool:
    """Whether any of the texts has one of these ASCII characters."""
    data = text_bytes(texts)[0]
    if not len(data) or data.min() > max(characters) or data.max() < min(characters):
        return False
    return any(bool((data == character).any()) for character in characters)


def text_bytes(texts: Array) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], Offsets]:
    """The bytes of all the texts, and where each begins in them, and the last ends."""
    _, offsets, data = texts.buffers()
    if offsets is None or data is None:
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int32)
    starts = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return np.frombuffer(data, np.uint8)[starts[0] : starts[-1]], starts - starts[0]


# Between numpy and Arrow, pa.array and to_numpy take longer than all else that a column of a small page needs.


def mask(array: Array) -> Mask:
    """A boolean Arrow array as numpy; null is False."""
    if array.null_count:
        array = pc.fill_null(array, False)
    bits = np.frombuffer(array.buffers()[1], np.uint8) if len(array) else np.empty(0, np.uint8)
    mask: Mask = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :].view(bool)
    return mask


def numbers(array: Array, dtype: str) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """The values of an Arrow array of fixed width as numpy, sharing its memory; anything where it is null."""
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * np.dtype(dtype).itemsize)


def array_of(values: np.ndarray[Any, Any], null: Mask, type_: pa.DataType) -> Array:
    """Values as an Arrow array that shares their memory, but for bits. Without nulls it has no bitmap of them, which
    costs its readers."""
    valid = _bits(~null) if null.any() else None
    data = _bits(values) if values.dtype == bool else pa.py_buffer(values.data)
    return pa.Array.from_buffers(type_, len(values), [valid, data])


def _bits(mask: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(mask, bitorder="little").data)


def with_other_than_digits(texts: Array, but: bytes) -> Mask | None:
    """Texts with a character that is no digit and none of `but`; None where there are none.

    Kernels misread some: Arrow takes 0xFF for an int8 of -1, and the decimal 1e-999999999 crashes the process."""
    data, starts = text_bytes(texts)
    other = data - np.uint8(ord("0")) > 9
    for character in but:
        other &= data != character
    places = np.flatnonzero(other)
    if not len(places):
        return None
    rows = np.zeros(len(texts), dtype=bool)
    rows[np.searchsorted(starts, places, side="right") - 1] = True
    return rows


def union(first: Mask | None, second: Mask | None) -> Mask | None:
    """Rows in either mask; None is the empty one."""
    if first is None or second is None:
        return second if first is None else first
    return first | second
