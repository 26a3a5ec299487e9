"""Where the values of a page of rows are, as bytes of the server's answer, and those of a column as an Arrow array.

A decoder gives the values and its suspects: rows whose value may not be one of the type, which go by the type's rule
for text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.feeds.file_contract import FileColumn
from data_platform.values.kernels import Mask, array_of
from data_platform.values.rejects import Array, Converted

SPARE = bytes(32)
"""Put behind a page's bytes, so that a value can be read at any position with numpy, also behind the last."""

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


Matrix = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


def windows(data: bytes, positions: Positions, width: int) -> Matrix:
    """So many bytes from each of these positions on, a row each."""
    # As opaque items, numpy copies them in a quarter of the time that unaligned numbers take.
    view = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    return view[positions].view(np.uint8).reshape(-1, width)


@dataclass(frozen=True)
class Field:
    """One column of a page: where each row's value begins, how long it is, and which are null. `ahead`: what begins at
    `starts`, as far as that was read with the lengths."""

    data: bytes
    starts: Positions
    lengths: Positions
    null: Mask
    ahead: Matrix | None = None

    def read(self, dtype: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Every row's value as that fixed-width type; anything where it is null."""
        width = np.dtype(dtype).itemsize
        if not ((self.lengths == width) | self.null).all():
            raise ValueError(f"a value isn't {width} bytes long")
        return self.part(dtype, 0)

    def part(self, dtype: str, offset: int) -> np.ndarray[Any, np.dtype[Any]]:
        """What every row's value has at an offset, in this machine's byte order; anything where it ends before."""
        end = offset + np.dtype(dtype).itemsize
        if self.ahead is None or end > self.ahead.shape[1]:
            found = windows(self.data, self.starts + offset, end - offset)
        else:
            found = self.ahead[:, offset:end]
        return found.view(dtype)[:, 0].astype(np.dtype(dtype).newbyteorder("="))

    def value(self, row: int) -> bytes | None:
        """One row's value."""
        begin = int(self.starts[row])
        return None if self.null[row] else self.data[begin : begin + int(self.lengths[row])]


@dataclass(frozen=True)
class ColumnReader:
    """Reads one column. `expression`: what is selected of a row. `spell`: a value as text, for a reject."""

    expression: str
    convert: Callable[[Field], Converted]
    spell: Callable[[bytes], str]


@dataclass(frozen=True)
class FieldPage:
    """Rows of a server's answer. `converted`: their values, by column."""

    readers: Sequence[ColumnReader]
    fields: Sequence[Field]
    converted: Sequence[Converted]
    rows: int

    @classmethod
    def read(cls, readers: Sequence[ColumnReader], fields: Iterable[Field], rows: int) -> FieldPage:
        """Converts each column as soon as it is found, while the processor's cache has its bytes."""
        kept, converted = [], []
        for reader, field in zip(readers, fields, strict=True):
            converted.append(reader.convert(field))
            kept.append(replace(field, ahead=None))
        return cls(readers, kept, converted, rows)

    def __len__(self) -> int:
        return self.rows

    def texts(self, row: int) -> list[str | None]:
        """One row's values, as the server writes them."""
        values = ((reader, field.value(row)) for reader, field in zip(self.readers, self.fields, strict=True))
        return [None if value is None else reader.spell(value) for reader, value in values]


Decode: TypeAlias = Callable[[Field], tuple[Array, Mask]]


def in_text(column: Column) -> FileColumn:
    """The column of a contract, with the rules by which a database's text is read."""
    return FileColumn(**{name: getattr(column, name) for name in Column.model_fields})


def strings(skip: int = 0) -> Decode:
    """UTF-8; what isn't, is a suspect. `skip`: bytes before the text."""

    def decode(field: Field) -> tuple[Array, Mask]:
        array = variable(field, pa.string(), skip)
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:  # a database of encoding SQL_ASCII holds any bytes
            return array, np.array([not _is_utf8(field.value(row)) for row in range(len(array))])
        return array, none(field)

    return decode


def binaries(field: Field) -> tuple[Array, Mask]:
    """Bytes, whatever they are."""
    return variable(field, pa.binary()), none(field)


def variable(field: Field, type_: pa.DataType, skip: int = 0) -> Array:
    """Strings or bytes, without their first `skip` bytes. Nothing is copied but the values."""
    # Offsets name every value and every gap between; of that array over the page's own bytes, the values are kept.
    rows = len(field.starts)
    offsets = np.empty(2 * rows + 1, np.int32)
    offsets[0:-1:2] = field.starts + np.minimum(skip, field.lengths)
    offsets[1:-1:2] = field.starts + field.lengths
    offsets[-1] = offsets[-2] if rows else 0
    both = pa.Array.from_buffers(type_, 2 * rows, [None, pa.py_buffer(offsets.data), pa.py_buffer(field.data)])
    kept = array_of(np.arange(0, 2 * rows, 2, dtype=np.int32), field.null, pa.int32())
    return both.take(kept)


def none(field: Field) -> Mask:
    """No suspects."""
    return np.zeros(len(field.starts), dtype=bool)


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False
