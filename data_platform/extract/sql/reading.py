"""One read of a table: its rows as chunks of the contract's columns, and the rejects."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg2
import pyarrow as pa

from data_platform.contract import Contract
from data_platform.extract.reject_limit import within_reject_limit
from data_platform.extract.source import Chunk, Position, Refused
from data_platform.extract.sql.catalog import FoundColumn
from data_platform.extract.sql.columns import ColumnReader, reader_for
from data_platform.extract.sql.copying import Copy, Field, fields
from data_platform.extract.sql.session import DatabaseFailed, first_line
from data_platform.feeds.databases import SqlTableSpec
from data_platform.values.rejects import parted

PROGRESS_SECONDS = 30.0


@dataclass(frozen=True)
class TablePlan:
    """What is read of a table: the contract as found, and how each of its columns is read."""

    contract: Contract
    readers: tuple[ColumnReader, ...]

    @property
    def selected(self) -> str:
        """The list of a SELECT."""
        return ", ".join(reader.expression for reader in self.readers)


def table_plan(feed: SqlTableSpec, found: Mapping[str, FoundColumn]) -> TablePlan:
    """How to read the table with these columns. Raises Refused, which names every column that doesn't fit."""
    contract = _with_drift(feed, found)
    problems: list[str] = []
    readers: list[ColumnReader] = []
    for column in contract.columns:
        there = found.get(column.header)
        if there is None:
            problems.append(
                f"the column {column.header} is not in the table; correct the contract, or `source_name` if the column"
                " has another name there"
            )
            continue
        reader = reader_for(column, there)
        if isinstance(reader, ColumnReader):
            readers.append(reader)
        else:
            problems.append(
                f"the column {column.header} is {there.type}, and the contract says {column.type}, which reads"
                f" {reader}; change the contract's type (string takes any), or the column"
            )
    if problems:
        raise Refused(f"{feed.name}: {'.'.join(feed.relation)} isn't as declared: {'; '.join(problems)}")
    return TablePlan(contract, tuple(readers))


def _with_drift(feed: SqlTableSpec, found: Mapping[str, FoundColumn]) -> Contract:
    """The contract, with the columns that the table has and it doesn't, as its drift policy says."""
    known = {column.header for column in feed.contract.columns}
    new = tuple(name for name in found if name not in known)
    if not new or feed.contract.drift == "ignore":
        return feed.contract
    if feed.contract.drift == "reject":
        raise Refused(
            f"{feed.name}: {'.'.join(feed.relation)} has columns that the contract doesn't name: {', '.join(new)}; add"
            " them to the contract, or set its drift to ignore or evolve"
        )
    try:
        return feed.contract.evolved(new)
    except ValueError as error:
        raise Refused(f"{feed.name}: can't add the columns {', '.join(new)}: {error}") from None


class TableReading:
    """A table, being read."""

    def __init__(
        self,
        feed: SqlTableSpec,
        plan: TablePlan,
        copy: Copy,
        position: Position,
        progress: Callable[[str], None],
    ) -> None:
        self.contract = plan.contract
        self._feed = feed
        self._plan = plan
        self._position = position
        self._progress = progress
        self._pages = copy.pages()
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
        except psycopg2.Error as error:
            raise DatabaseFailed(
                f"{self._feed.name}: the database broke off after {read:,} rows: {first_line(error)}. Nothing of this"
                " read is kept; the next run reads again"
            ) from None

    def _chunk(self, rows: list[bytes], read: int) -> Chunk:
        found = fields(rows, len(self._plan.readers))
        converted = [reader.convert(field) for reader, field in zip(self._plan.readers, found, strict=True)]
        # A null where there may be none is found below; until then the batch may hold it.
        batch = pa.RecordBatch.from_arrays([each.array for each in converted], schema=self.contract.arrow_schema)
        numbers = range(read + 1, read + 1 + len(rows))
        good, rejects = parted(
            batch,
            self.contract.columns,
            converted,
            numbers,
            lambda bad: [self._raw_text(found, row) for row in bad.tolist()],
        )
        return Chunk(good, rejects if rejects.num_rows else None)

    def _raw_text(self, found: Sequence[Field], row: int) -> str:
        """A row as a JSON object of texts."""
        values: dict[str, str | None] = {}
        for column, reader, field in zip(self.contract.columns, self._plan.readers, found, strict=True):
            value = field.value(row)
            values[column.header] = None if value is None else reader.spell(value)
        return json.dumps(values, ensure_ascii=False)
