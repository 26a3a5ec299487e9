"""Streams a query's rows by `COPY … TO STDOUT (FORMAT binary)`, some pages at a time, and finds the fields in them.

PostgreSQL sends one message a row, so rows need no parsing to be told apart. A column is then read for all rows of a
page at once: the lengths at the rows' positions, the values behind them, the positions moved on.
"""

from __future__ import annotations

import contextlib
import io
import queue
import threading
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import psycopg2

from data_platform.extract.sql.fields import SPARE, Field, Positions, windows

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

ROWS_A_PAGE = 16_384
LEAST_PAGE_BYTES, MOST_PAGE_BYTES = 2 * 2**20, 8 * 2**20
"""A page ends at so many rows or bytes: a page of small rows fits the processor's cache, and one of large rows a run's
memory. A table of many columns has larger pages, as each column of a page costs some time, however few its rows are."""
_BYTES_A_COLUMN = 40 * 2**10
_PAGES_AHEAD = 1
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_AHEAD = 20
"""The bytes of each value that are read with its length: enough for any number, and as fast as the length alone."""


class _Stopped(Exception):
    """Nobody reads on."""


@dataclass(frozen=True)
class Rows:
    """Rows one after another in `data`, each ending at one of `ends`."""

    data: bytes
    ends: Positions


class Copy:
    """A query's rows as they come, from a thread that reads ahead by a page. Leaving its `with` block ends the query.

    psycopg2 gives rows to `write`, one at a time; it hands over no rows on request.
    """

    def __init__(self, connection: Connection, query: str, columns: int) -> None:
        self._connection = connection
        self._page_bytes = min(max(columns * _BYTES_A_COLUMN, LEAST_PAGE_BYTES), MOST_PAGE_BYTES)
        self._statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
        self._ready: queue.Queue[Rows | BaseException | None] = queue.Queue(_PAGES_AHEAD)
        self._page = io.BytesIO()
        self._lengths = array("q")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)
        # Called once a row: a generator with local names takes a third of the time of a method.
        taking = self._taking()
        next(taking)
        self.write = taking.send

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

    def pages(self) -> Iterator[Rows]:
        """The rows, some thousands at a time. Raises psycopg2.Error."""
        while (found := self._ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def read(self, size: int = -1) -> bytes:
        """psycopg2 wants a file that can be read, too."""
        return b""

    def _taking(self) -> Generator[None, bytes, None]:
        """Takes psycopg2's messages: the header, rows, and the trailer, which is put into the last page."""
        message = yield
        if not message.startswith(_SIGNATURE):
            raise ValueError("the server's answer is no binary copy")
        begin = len(_SIGNATURE) + 4
        message = message[begin + 4 + int.from_bytes(message[begin : begin + 4], "big") :] or (yield)
        while True:
            write, add = self._page.write, self._lengths.append
            size = write(message)
            add(size)
            for _ in range(ROWS_A_PAGE - 1):
                if size >= self._page_bytes:
                    break
                length = write((yield))
                add(length)
                size += length
            message = yield
            self._put()

    def _put(self) -> None:
        """Hands the page over, and begins the next one."""
        self._page.write(SPARE)
        rows = Rows(self._page.getvalue(), np.cumsum(self._lengths, dtype=np.int64))
        self._page, self._lengths = io.BytesIO(), array("q")
        self._offer(rows)

    def _offer(self, found: Rows | BaseException | None) -> None:
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
                self._lengths.pop()  # the trailer's
                if self._lengths:
                    self._put()
                self._offer(None)
            except Exception as error:
                self._offer(error)
        except _Stopped:
            pass


def fields(rows: Rows, columns: int) -> Iterator[Field]:
    """The columns of a page. Raises ValueError where the rows aren't of so many columns."""
    position = np.concatenate(([0], rows.ends[:-1]))
    if (windows(rows.data, position, 2).view(">i2") != columns).any():
        raise ValueError(f"a row isn't of {columns} columns")
    position += 2
    for _ in range(columns):
        heads = windows(rows.data, position, 4 + _AHEAD)
        lengths = heads[:, :4].view(">i4")[:, 0].astype(np.int64)
        null = lengths < 0
        if null.any():
            lengths[null] = 0
        starts = position + 4
        position = starts + lengths
        yield Field(rows.data, starts, lengths, null, heads[:, 4:])
    if (position != rows.ends).any():
        raise ValueError("a row is longer than its columns")
