"""A table of a database as a source: its slices are the whole table, or what is new by its watermark (`slices.py`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from data_platform.extract.source import Position, Refused, Slice, Source
from data_platform.extract.sql.discovery import CatalogOnce
from data_platform.extract.sql.plan import table_plan
from data_platform.extract.sql.reading import TableReading
from data_platform.extract.sql.slices import PART, Reads, SharesState, begins_at, holds_keys, of_keys, slices
from data_platform.extract.sql.system import DatabaseFailed, Session, retried, system_of
from data_platform.extract.sql.watermark import Window, condition, mark_of, next_window
from data_platform.feeds.databases import SqlTableSpec
from data_platform.lake.manifest import Manifest

Result = TypeVar("Result")


class TableSource(Source):
    """One table. `url` returns the database's URL, and is called only when it is needed. `catalog`: of the run's tables
    of this database. `progress` receives messages for the log."""

    feed: SqlTableSpec

    def __init__(
        self,
        feed: SqlTableSpec,
        url: Callable[[], str],
        *,
        catalog: CatalogOnce | None = None,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(feed)
        self._url = url
        self._catalog = catalog or CatalogOnce(url)
        self._catalog.add(feed)
        self._progress = progress
        self._state: str | None = None
        self._exporting = ExitStack()
        self._left = 0
        self._lock = threading.Lock()

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """The table as it is now; with a watermark, what has changed since, if anything has, and the keys, if they are
        others and deletions are wanted. A snapshot that an earlier run left incomplete is begun anew: its state of the
        database is gone."""
        now = datetime.now(UTC)
        watermark = self.feed.watermark
        begin = begins_at(since, unfinished, watermark.column if watermark else None)
        self._exporting.close()
        self._state = None
        with ExitStack() as opened:
            reads = self._database(lambda: self._reads(begin, since is None, opened))
            if reads.pieces > 1:
                self._exporting, self._left = opened.pop_all(), reads.pieces
                self._progress(f"{self.feed.name}: reading in {reads.pieces} parts, of one state of the database")
        yield from slices(self.feed, reads, begin, now, self._state)

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[TableReading]:
        """Begins to read, in a transaction of its own. Raises Refused where the table isn't as declared."""
        with ExitStack() as stack:
            try:
                reading = self._database(lambda: self._begin(slice_, stack))
            finally:
                self._has_begun(slice_)
            yield reading

    def catalog_changes(self) -> list[str]:
        """In what the database's catalog differs from the contract."""
        return self._catalog.changes(self.feed)

    def _reads(self, begin: Position | None, first: bool, stack: ExitStack) -> Reads:
        """What there is to read. `first`: the feed's table has no rows yet. The session stays open, in `stack`, if
        others are to read its state."""
        with ExitStack() as opened:
            session = opened.enter_context(self._session())
            found = session.columns(self.feed)
            table_plan(session, self.feed, found)
            window, rows = None, True
            if self.feed.watermark is not None:
                mark = mark_of(session, self.feed, found)
                window = next_window(session, self.feed, mark, begin["watermark"] if begin else None)
                rows = window is not None
            shares = session if isinstance(session, SharesState) else None
            self._require(shares, system_of(self._url()).name)
            parts: Sequence[str] = ()
            keys, state = False, None
            if shares is not None and rows and begin is None:
                parts = shares.parts(self.feed)
            if shares is not None and self.feed.deletions == "keys":
                columns = [self.feed.contract.column(name).header for name in self.feed.contract.key]
                state = shares.keys_state(self.feed, columns)
                keys = not first and (begin is None or begin.get("keys") != state)
            reads = Reads(rows, window, parts, keys, state)
            if shares is not None and reads.pieces > 1:
                self._state = shares.exported()
                stack.push(opened.pop_all())
            return reads

    def _require(self, shares: SharesState | None, system: str) -> None:
        """Raises Refused if the feed declares what needs a shared state, and the system has none."""
        declared = "parts" if (self.feed.parts or 1) > 1 else "deletions" if self.feed.deletions else None
        if shares is None and declared:
            raise Refused(
                f"{self.feed.name}: {declared} needs several connections that read one state of the database, which"
                f" {system} doesn't give here; leave {declared} out"
            )

    def _has_begun(self, slice_: Slice) -> None:
        """When the last slice has begun, nobody needs the exporting session."""
        with self._lock:
            self._left -= slice_.snapshot is not None
            if self._left == 0:
                self._exporting.close()

    def _begin(self, slice_: Slice, stack: ExitStack) -> TableReading:
        """Connects and waits for the first rows; what it opens is closed with the stack, or if it fails."""
        with ExitStack() as opened:
            session = opened.enter_context(self._session(self._state if slice_.snapshot else None))
            feed = of_keys(self.feed) if holds_keys(slice_) else self.feed
            found = session.columns(feed)
            plan = table_plan(session, feed, found)
            until, conditions = slice_.until or {}, []
            if feed.watermark is not None and not holds_keys(slice_):
                window = Window(slice_.since["watermark"] if slice_.since else None, until["watermark"])
                conditions.append(condition(feed, mark_of(session, feed, found), window))
            if PART in slice_.origin:
                conditions.append(slice_.origin[PART])
            where = f" WHERE {' AND '.join(f'({each})' for each in conditions)}" if conditions else ""
            query = f"SELECT {plan.selected} FROM {session.relation(feed)}{where}"
            pages = opened.enter_context(session.pages(query, plan.readers))
            reading = TableReading(feed, plan, pages, until, self._progress)
            stack.push(opened.pop_all())
            return reading

    def _session(self, state: str | None = None) -> AbstractContextManager[Session[Any, Any]]:
        url, program = self._url(), f"data-platform {self.feed.name}"
        system = system_of(url)
        return system.session(url, program) if state is None else system.session(url, program, state)

    def _database(self, begin: Callable[[], Result]) -> Result:
        """What `begin` returns, after some tries where the database can't be reached. Raises DatabaseFailed, which
        names the feed."""
        try:
            return retried(begin)
        except DatabaseFailed as error:
            raise DatabaseFailed(f"{self.feed.name}: the connection {self.feed.connection}: {error}") from None
