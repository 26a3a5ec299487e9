"""One read of a table or object: its records as chunks of the contract's columns, and the rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from data_platform.extract.reject_limit import within_reject_limit
from data_platform.extract.source import Chunk, Position, Refused
from data_platform.extract.web.client import ApiFailed
from data_platform.extract.web.spool import ReadAgain, Spool
from data_platform.feeds.file_contract import FileColumn
from data_platform.feeds.web_apis import WebTableSpec
from data_platform.values.json_values import json_converter_for
from data_platform.values.rejects import HIDDEN, in_order, parted, reject_batch
from data_platform.values.rule import BadValue
from data_platform.values.typed import NumberText
from data_platform.values.words import parsed_json

READS = 3
"""How often a table is read where its pages don't belong together, and how often it is listed where records move."""


class Pages(Protocol):
    """What a service's module knows of a feed."""

    def fields(self) -> Mapping[str, str]:
        """The labels of the fields that there are, by their ids. Raises ApiFailed."""

    def read(self, spool: Spool) -> int:
        """Puts the records of all pages in the spool, and returns the number of pages. Raises ReadAgain; ApiFailed."""

    def value(self, column: FileColumn, value: Any) -> Any:
        """The value of a record's field, or None where it has none."""


class RecordsReading:
    """A table, being read. Nothing is passed on until all its pages are there."""

    def __init__(
        self, feed: WebTableSpec, pages: Pages, spool: Spool, position: Position, progress: Callable[[str], None]
    ) -> None:
        self.contract = feed.contract
        self._feed, self._pages, self._spool = feed, pages, spool
        self._position, self._progress = position, progress

    def chunks(self) -> Iterator[Chunk]:
        """The records, in the service's order. Raises ApiFailed, and Refused where the fields aren't as declared or too
        many records are rejects."""
        self._match_fields(self._pages.fields())
        self._read()
        yield from within_reject_limit(self._converted(), self._feed)

    def position(self) -> Position:
        """What the plan said."""
        return self._position

    def _converted(self) -> Iterator[Chunk]:
        read = 0
        converters = [json_converter_for(column) for column in self.contract.columns]
        for block in self._spool.blocks():
            yield self._chunk(block, read, converters)
            read += len(block)

    def _match_fields(self, found: Mapping[str, str]) -> None:
        declared = {column.header for column in self.contract.columns} - set(self._feed.record_fields)
        gone = sorted(declared - found.keys())
        new = [f"{id} ({label})" for id, label in found.items() if id not in declared]
        problems = []
        if gone:
            problems.append(f"has no field {', '.join(gone)}; take its columns out of the contract, or correct them")
        if new and self.contract.drift == "reject":
            problems.append(
                f"has fields that the contract doesn't name: {', '.join(new)}; add them, or set its drift to ignore"
            )
        if problems:
            raise Refused(f"{self._feed.name}: {self._feed.from_} {'; it '.join(problems)}")

    def _read(self) -> None:
        """Lists the table until a listing brings no record that those before it lacked. One listing may lack some: when
        somebody sorts or edits the table meanwhile, a record moves from a page that is to come to one that was read."""
        begun = listed = 0
        while listed < READS:
            before = len(self._spool)
            try:
                pages = self._pages.read(self._spool)
            except ReadAgain as again:
                self._spool.clear()
                begun, listed = begun + 1, 0
                if begun == READS:
                    raise ApiFailed(
                        f"{self._feed.name}: {again}, {READS} times. Nothing of this read is kept; read it when fewer"
                        " people change it, or run it again"
                    ) from None
                self._progress(f"{self._feed.name}: {again}; reading it again from the beginning")
                continue
            listed, new = listed + 1, len(self._spool) - before
            if pages == 1 or (listed > 1 and not new):
                return
            if listed > 1:
                self._progress(f"{self._feed.name}: listing {listed} brought {new} records that the ones before lacked")

    def _chunk(self, lines: list[str], read: int, converters: list[Any]) -> Chunk:
        rows: list[list[Any]] = []
        kept: list[int] = []
        broken: list[tuple[int, str]] = []
        for at, line in enumerate(lines):
            try:
                record = parsed_json(line, NumberText)
            except BadValue as error:
                broken.append((at, HIDDEN if self.contract.personal else str(error)))
                continue
            rows.append([self._pages.value(column, record.get(column.header)) for column in self.contract.columns])
            kept.append(at)
        columns = [convert([row[at] for row in rows]) for at, convert in enumerate(converters)]
        batch = pa.RecordBatch.from_arrays([each.array for each in columns], schema=self.contract.arrow_schema)
        numbers = np.array(kept, dtype=np.int64) + read + 1
        good, rejects = parted(
            batch, self.contract.columns, columns, numbers, lambda bad: [lines[kept[row]] for row in bad.tolist()]
        )
        if broken:
            where = [at + read + 1 for at, _ in broken]
            texts = [lines[at] for at, _ in broken]
            unread = reject_batch(where, [None] * len(broken), [reason for _, reason in broken], texts)
            rejects = in_order([rejects, unread])
        return Chunk(good, rejects if rejects.num_rows else None)
