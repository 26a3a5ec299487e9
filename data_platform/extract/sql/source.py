"""A table of a database as a source: a slice is the whole table, or what is new by its watermark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from data_platform.extract.source import Position, Slice, Source, extract_id_of
from data_platform.extract.sql.plan import table_plan
from data_platform.extract.sql.reading import TableReading
from data_platform.extract.sql.system import DatabaseFailed, Session, retried, system_of
from data_platform.extract.sql.watermark import Window, condition, mark_of, next_window
from data_platform.feeds.databases import SqlTableSpec
from data_platform.lake.manifest import Manifest

Result = TypeVar("Result")


class TableSource(Source):
    """One table. `url` returns the database's URL, and is called only when it is needed. `progress` receives messages
    for the log."""

    feed: SqlTableSpec

    def __init__(
        self, feed: SqlTableSpec, url: Callable[[], str], *, progress: Callable[[str], None] = lambda message: None
    ) -> None:
        super().__init__(feed)
        self._url = url
        self._progress = progress

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """The table as it is now; with a watermark, what has changed since, if anything has."""
        now = datetime.now(UTC)
        name, contract = self.feed.name, self.feed.contract.hash
        if self.feed.watermark is None:
            read_at = now.isoformat()
            yield Slice(extract_id_of(name, contract, read_at), effective_at=now, until={"read_at": read_at})
            return
        column = self.feed.watermark.column
        # By another column, the table is read from its beginning.
        begin = since["watermark"] if since and since.get("column") == column else None
        window = self._database(lambda: self._window(begin))
        if window is not None:
            position = {"column": column, "watermark": window.until}
            yield Slice(
                extract_id_of(name, contract, column, window.since, window.until),
                effective_at=now,
                since=since if begin is not None else None,
                until=position,
            )

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[TableReading]:
        """Begins to read, in a transaction of its own. Raises Refused where the table isn't as declared."""
        with ExitStack() as stack:
            yield self._database(lambda: self._begin(slice_, stack))

    def _window(self, since: str | None) -> Window | None:
        with self._session() as session:
            found = session.columns(self.feed)
            table_plan(session, self.feed, found)
            return next_window(session, self.feed, mark_of(session, self.feed, found), since)

    def _begin(self, slice_: Slice, stack: ExitStack) -> TableReading:
        """Connects and waits for the first rows; what it opens is closed with the stack, or if it fails."""
        with ExitStack() as opened:
            session = opened.enter_context(self._session())
            found = session.columns(self.feed)
            plan = table_plan(session, self.feed, found)
            query = f"SELECT {plan.selected} FROM {session.relation(self.feed)}"
            until = slice_.until or {}
            if self.feed.watermark is not None:
                window = Window(slice_.since["watermark"] if slice_.since else None, until["watermark"])
                query += f" WHERE {condition(self.feed, mark_of(session, self.feed, found), window)}"
            pages = opened.enter_context(session.pages(query, plan.readers))
            reading = TableReading(self.feed, plan, pages, until, self._progress)
            stack.push(opened.pop_all())
            return reading

    def _session(self) -> AbstractContextManager[Session[Any, Any]]:
        url = self._url()
        return system_of(url).session(url, f"data-platform {self.feed.name}")

    def _database(self, begin: Callable[[], Result]) -> Result:
        """What `begin` returns, after some tries where the database can't be reached. Raises DatabaseFailed, which
        names the feed."""
        try:
            return retried(begin)
        except DatabaseFailed as error:
            raise DatabaseFailed(f"{self.feed.name}: the connection {self.feed.connection}: {error}") from None
