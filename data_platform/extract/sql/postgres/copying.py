"""Streams a query's rows by `COPY … TO STDOUT (FORMAT binary)`, some pages at a time, and finds the fields in them.

PostgreSQL sends one message a row, so rows need no parsing to be told apart. A column is then read for all rows of a
page at once: the lengths at the rows' positions, the values behind them, the positions moved on.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import psycopg2

from data_platform.extract.sql.fields import SPARE, Field

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

ROWS_A_PAGE = 16_384
BYTES_A_PAGE = 8 * 2**20
"""A page ends at either: a page of small rows fits the processor's cache, and one of large rows a run's memory."""
_PAGES_AHEAD = 1
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_TRAILER = b"\xff\xff"


class _Stopped(Exception):
    """Nobody reads on."""


class Copy:
    """A query's rows as they come, from a thread that reads ahead by a page. Leaving its `with` block ends the query.

    psycopg2 gives rows to `write`, one at a time; it hands over no rows on request.
    """

    def __init__(self, connection: Connection, query: str) -> None:
        self._connection = connection
        self._statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
        self._ready: queue.Queue[list[bytes] | BaseException | None] = queue.Queue(_PAGES_AHEAD)
        self._rows: list[bytes] = []
        self._size = 0
        self._begun = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)

    def __enter__(self) -> Copy:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            with contextlib.suppress(psycopg2.Error):  # the server is gone, too
                self._connection.cancel()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.1)
            except queue.Empty:
                continue

    def pages(self) -> Iterator[list[bytes]]:
        """The rows, some thousands at a time. Raises psycopg2.Error."""
        while (found := self._ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def write(self, message: bytes) -> int:
        """Takes one message of psycopg2: a row, the header, or the trailer."""
        if not self._begun:
            if not message.startswith(_SIGNATURE):
                raise ValueError("the server's answer is no binary copy")
            self._begun = True
            begin = len(_SIGNATURE) + 4
            row = message[begin + 4 + int.from_bytes(message[begin : begin + 4], "big") :]
            return self.write(row) if row else len(message)
        if message == _TRAILER:
            return len(message)
        self._rows.append(message)
        self._size += len(message)
        if len(self._rows) >= ROWS_A_PAGE or self._size >= BYTES_A_PAGE:
            self._put()
        return len(message)

    def read(self, size: int = -1) -> bytes:
        """psycopg2 wants a file that can be read, too."""
        return b""

    def _put(self) -> None:
        rows, self._rows, self._size = self._rows, [], 0
        self._offer(rows)

    def _offer(self, found: list[bytes] | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                return self._ready.put(found, timeout=0.5)
            except queue.Full:
                continue
        raise _Stopped

    def _run(self) -> None:
        try:
            try:
                with self._connection.cursor() as cursor:
                    cursor.copy_expert(self._statement, self)
                if self._rows:
                    self._put()
                self._offer(None)
            except Exception as error:
                self._offer(error)
        except _Stopped:
            pass


def fields(rows: list[bytes], columns: int) -> list[Field]:
    """The columns of a page. Raises ValueError where the rows aren't of so many columns."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    data = b"".join((*rows, SPARE))
    ends = np.cumsum(lengths)
    page = Field(data, ends - lengths, lengths, np.zeros(len(rows), dtype=bool))
    if (page.at(">i2", page.starts) != columns).any():
        raise ValueError(f"a row isn't of {columns} columns")
    position, found = page.starts + 2, []
    for _ in range(columns):
        sizes = page.at(">i4", position).astype(np.int64)
        position = position + 4
        found.append(Field(data, position, np.maximum(sizes, 0), sizes < 0))
        position = position + found[-1].lengths
    if (position != ends).any():
        raise ValueError("a row is longer than its columns")
    return found
