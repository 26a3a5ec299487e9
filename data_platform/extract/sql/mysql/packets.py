"""Streams a query's rows from PyMySQL's socket, some pages at a time, and finds the fields in them.

A row is one packet: three bytes of length, one of sequence, then each value as its length and its bytes (MySQL's
client/server protocol, "Text Resultset"; MariaDB's is the same). PyMySQL makes a Python object of each value, which
takes several times as long as to find all of a column's values at once with numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_platform.extract.sql.fields import SPARE, Field, Positions
from data_platform.values.kernels import Mask

if TYPE_CHECKING:
    from pymysql.connections import Connection

ROWS_A_PAGE = 16_384
BYTES_A_PAGE = 8 * 2**20
"""A page ends at either."""
_READ_BYTES = 2**20
_HEAD = 4
_FULL = 0xFFFFFF
"""The length of a packet that the next one continues."""
_EOF, _ERROR, _NULL = 0xFE, 0xFF, 0xFB
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""The bytes of a length, after its first one."""


@dataclass(frozen=True)
class Rows:
    """Rows one after another in `data`, beginning at `starts`."""

    data: bytes
    starts: Positions


@contextmanager
def streamed(connection: Connection[Any], query: str) -> Iterator[Iterator[Rows]]:
    """The rows of a query. Leaving the block before the last of them closes the connection, and so ends the query.
    Raises pymysql.Error."""
    connection.query(query, unbuffered=True)
    stream = _Stream(connection)
    try:
        yield stream.pages()
    finally:
        if not stream.done:
            connection._force_close()
        # PyMySQL would read the rows that it doesn't know to be read.
        connection._result.unbuffered_active = False
        connection._result = None


class _Stream:
    def __init__(self, connection: Connection[Any]) -> None:
        self.done = False
        self._socket = connection._rfile
        self._buffer = bytearray()

    def pages(self) -> Iterator[Rows]:
        """The rows. Raises pymysql.Error."""
        starts: list[int] = []
        at = 0
        while not self.done:
            end = self._row(at)
            if end is None:
                self._receive()
                continue
            if not self.done:
                starts.append(at + _HEAD)
                at = end
            if starts and (self.done or len(starts) >= ROWS_A_PAGE or at >= BYTES_A_PAGE):
                yield Rows(bytes(self._buffer[:at]) + SPARE, np.array(starts, np.int64))
                del self._buffer[:at]
                starts, at = [], 0

    def _row(self, at: int) -> int | None:
        """Where the packet at a position ends; None if the rest of it isn't there yet."""
        buffer = self._buffer
        if at + _HEAD >= len(buffer):
            return None
        size = buffer[at] | buffer[at + 1] << 8 | buffer[at + 2] << 16
        end = at + _HEAD + size
        if end > len(buffer):
            return None
        kind = buffer[at + _HEAD]
        if kind == _ERROR:
            self.done = True
            from pymysql.err import raise_mysql_exception

            raise_mysql_exception(bytes(buffer[at + _HEAD : end]))
        self.done = kind == _EOF and size < 9  # a value of 16 MB or more has the same first byte
        heads = []
        while size == _FULL:  # the row goes on in the next packet
            if end + _HEAD > len(buffer):
                return None
            heads.append(end)
            size = buffer[end] | buffer[end + 1] << 8 | buffer[end + 2] << 16
            end += _HEAD + size
        if end > len(buffer):
            return None
        for head in reversed(heads):
            del buffer[head : head + _HEAD]
        return end - _HEAD * len(heads)

    def _receive(self) -> None:
        received = self._socket.read1(_READ_BYTES)
        if not received:
            from pymysql.constants import CR
            from pymysql.err import OperationalError

            raise OperationalError(CR.CR_SERVER_LOST, "Lost connection to the server during query")
        self._buffer += received


def fields(rows: Rows, columns: int) -> Iterator[Field]:
    """The columns of a page."""
    data = np.frombuffer(rows.data, np.uint8)
    position = rows.starts
    for _ in range(columns):
        field = _field(rows.data, data, position)
        yield field
        position = field.starts + field.lengths


def _field(whole: bytes, data: np.ndarray[Any, np.dtype[np.uint8]], position: Positions) -> Field:
    """The values whose lengths are at these positions."""
    first = data[position].astype(np.int64)
    null: Mask = first == _NULL
    lengths = np.where(null, 0, first)
    starts = position + 1
    if (first > _NULL).any():
        for code, width in _WIDTHS.items():
            rows = np.flatnonzero(first == code)
            lengths[rows] = sum(data[starts[rows] + place].astype(np.int64) << (8 * place) for place in range(width))
            starts[rows] += width
    return Field(whole, starts, lengths, null)
