"""One read of a table: its rows as chunks of the contract's columns, and the rejects."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from data_platform.extract.reject_limit import within_reject_limit
from data_platform.extract.source import Chunk, Position
from data_platform.extract.sql.plan import TablePlan
from data_platform.extract.sql.system import DatabaseFailed, Page
from data_platform.feeds.databases import SqlTableSpec
from data_platform.values.rejects import parted

PROGRESS_SECONDS = 30.0


class TableReading:
    """A table, being read."""

    def __init__(
        self,
        feed: SqlTableSpec,
        plan: TablePlan,
        pages: Iterator[Page],
        position: Position,
        progress: Callable[[str], None],
    ) -> None:
        self.contract = plan.contract
        self._feed = feed
        self._position = position
        self._progress = progress
        self._pages = pages
        self._first = next(self._pages, None)

    def chunks(self) -> Iterator[Chunk]:
        """The rows, in the order in which the database gives them. Raises DatabaseFailed if it breaks off, and Refused
        where too many rows are rejects."""
        yield from within_reject_limit(self._converted(), self._feed)

    def position(self) -> Position:
        """What the plan said: a read ends where it was to end."""
        return self._position

    def _converted(self) -> Iterator[Chunk]:
        read, page, told = 0, self._first, time.monotonic()
        try:
            while page is not None:
                yield self._chunk(page, read)
                read += len(page)
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    told = time.monotonic()
                    self._progress(f"{self._feed.name}: read {read:,} rows so far")
                page = next(self._pages, None)
        except DatabaseFailed as error:
            raise DatabaseFailed(
                f"{self._feed.name}: the database broke off after {read:,} rows: {error}. Nothing of this read is kept;"
                " the next run reads again"
            ) from None

    def _chunk(self, page: Page, read: int) -> Chunk:
        converted = page.converted
        # A null where there may be none is found below; until then the batch may hold it.
        batch = pa.RecordBatch.from_arrays([each.array for each in converted], schema=self.contract.arrow_schema)
        numbers = range(read + 1, read + 1 + len(page))
        good, rejects = parted(
            batch,
            self.contract.columns,
            converted,
            numbers,
            lambda bad: [self._raw_text(page, row) for row in bad.tolist()],
        )
        return Chunk(good, rejects if rejects.num_rows else None)

    def _raw_text(self, page: Page, row: int) -> str:
        """A row as a JSON object of texts."""
        headers = [column.header for column in self.contract.columns]
        return json.dumps(dict(zip(headers, page.texts(row), strict=True)), ensure_ascii=False)
