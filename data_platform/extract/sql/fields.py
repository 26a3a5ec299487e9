"""Where the values of a page of rows are, as bytes of the server's answer, and those of a column as an Arrow array.

A decoder gives the values and its suspects: rows whose value may not be one of the type, which go by the type's rule
for text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.feeds.file_contract import FileColumn
from data_platform.values.rejects import Array, Converted

SPARE = bytes(16)
"""Put behind a page's bytes, so that a value can be read at any position with numpy, also behind the last."""

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Field:
    """One column of a page: where each row's value begins, how long it is, and which are null."""

    data: bytes
    starts: Positions
    lengths: Positions
    null: Mask

    def read(self, dtype: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Every row's value as that fixed-width type; anything where it is null."""
        width = np.dtype(dtype).itemsize
        if not ((self.lengths == width) | self.null).all():
            raise ValueError(f"a value isn't {width} bytes long")
        return self.at(dtype, self.starts)

    def at(self, dtype: str, positions: Positions) -> np.ndarray[Any, np.dtype[Any]]:
        """What is at these positions of the page, in this machine's byte order."""
        width = np.dtype(dtype).itemsize
        view: np.ndarray[Any, np.dtype[Any]] = np.ndarray((len(self.data) - width + 1,), dtype, self.data, strides=(1,))
        return view[positions].astype(np.dtype(dtype).newbyteorder("="))

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
    """Rows of a server's answer."""

    readers: Sequence[ColumnReader]
    fields: Sequence[Field]
    rows: int

    def __len__(self) -> int:
        return self.rows

    @property
    def converted(self) -> list[Converted]:
        """The values, by column."""
        return [reader.convert(field) for reader, field in zip(self.readers, self.fields, strict=True)]

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
    both = pa.Array.from_buffers(type_, 2 * rows, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(field.data)])
    kept: Array = pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32), mask=field.null)
    return both.take(kept)


def none(field: Field) -> Mask:
    """No suspects."""
    return np.zeros(len(field.starts), dtype=bool)


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False
