"""One block of delimited records to a chunk: the part of reading CSV that runs in worker threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from data_platform.feeds.formats import CsvFormat
from data_platform.landing.chunk import Chunk, assemble
from data_platform.landing.header import Header
from data_platform.landing.readers.csv_records import Block, Positions
from data_platform.landing.text import fault, fault_positions, visible
from data_platform.values.kernels import Mask
from data_platform.values.rejects import Array, Converted, reject_batch

_LINE_ENDS = re.compile(rb"[\r\n]*")
Convert = Callable[[Array], Converted]


@dataclass(frozen=True, slots=True)
class Layout:
    """The properties that all blocks of a file share. `convert` has a function for each column of the contract."""

    format: CsvFormat
    header: Header
    convert: tuple[Convert, ...]


class LinesSwallowed(Exception):
    """A broken record goes on over several lines: how many records they are, nobody can tell. `record`: its number
    in the block, from 1; `text`: how it begins, where the feed has no personal data."""

    def __init__(self, record: int, text: str, reason: str, *, personal: bool) -> None:
        super().__init__(record, reason)
        self.record, self.reason, self.lines = record, reason, len(text.splitlines())
        self.text = "…" if personal else text[:100]


class RecordsDiffer(Exception):
    """The two that tell records apart don't agree on how many a block has: `parsed`, and `found` by their bounds."""

    def __init__(self, parsed: int, found: int) -> None:
        super().__init__(parsed, found)
        self.parsed, self.found = parsed, found


def read_block(block: Block, layout: Layout) -> Chunk:
    """The block's chunk, its records numbered from 1. Raises LinesSwallowed and RecordsDiffer."""
    return _Records(block, layout).chunk()


class _Records:
    def __init__(self, block: Block, layout: Layout) -> None:
        self._block, self._layout = block, layout
        self._ragged: dict[int, int] = {}

    @cached_property
    def _bounds(self) -> tuple[Positions, Positions]:
        """Found only where it is needed: a clean block's records are never looked at one by one."""
        return self._block.bounds()

    def chunk(self) -> Chunk:
        broken = self._broken()
        table = self._parsed(self._without(broken))
        wrong = np.array(sorted(broken), dtype=np.int64)
        count = table.num_rows + len(self._ragged) + len(wrong)
        records = np.delete(np.arange(count, dtype=np.int64), wrong)
        places = np.array(sorted(self._ragged), dtype=np.int64) - 1
        ragged, records = records[places], np.delete(records, places)
        found = [self._ragged[place + 1] for place in places.tolist()]
        expected = self._layout.header.width
        reasons = broken | {
            record: f"expected {expected} fields, found {fields}"
            for record, fields in zip(ragged.tolist(), found, strict=True)
        }
        self._refuse_swallowed(reasons)
        self._refuse_records_within_records(count, reasons)
        if reasons and count != len(self._bounds[0]):
            raise RecordsDiffer(count, len(self._bounds[0]))
        rejects = []
        if broken:
            texts: Sequence[str] | Array = [self._text(record) for record in wrong.tolist()]
            rejects.append(_rejects(wrong, reasons, texts))
        if len(ragged):
            rejects.append(_rejects(ragged, reasons, self._texts(ragged)))
        return assemble(
            self._layout.header.contract,
            self._converted(table),
            records + 1,
            lambda rows: self._texts(records[rows]),
            rejects,
        )

    def _text(self, record: int) -> str:
        starts, ends = self._bounds
        return visible(self._block.data[starts[record] : ends[record]], self._layout.format.encoding)

    def _texts(self, records: Positions) -> Array:
        """The texts of records, in ascending order, whose bytes are text. Between them is what isn't taken."""
        offsets = np.stack([bound[records] for bound in self._bounds], axis=1).astype(np.int32).ravel()
        buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(self._block.data)]
        return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)[::2]

    def _broken(self) -> dict[int, str]:
        """Records (from 0) that can't be parsed, and why: bytes that aren't text come first."""
        positions = fault_positions(self._block.data)
        if not positions and not self._block.malformed:
            return {}
        starts, ends = self._bounds
        found = {int(np.searchsorted(starts, start)): reason for start, reason in self._block.malformed.items()}
        for record in {int(np.searchsorted(starts, position, side="right")) - 1 for position in positions}:
            text = self._block.data[starts[record] : ends[record]]
            found[record] = fault(text, self._layout.format.encoding) or found[record]
        return found

    def _refuse_swallowed(self, broken: dict[int, str]) -> None:
        """Raises LinesSwallowed for a broken record that may be several: its quotes are wrong, or a line of it has as
        many fields as a record."""
        if not len(self._block.quoted_from):
            return
        starts, ends = self._bounds
        delimiters = self._layout.header.width - 1
        for record in sorted(broken):
            data = self._block.data[starts[record] : ends[record]]
            lines = re.split(rb"[\r\n]+", data)
            if len(lines) > 1 and (
                int(starts[record]) in self._block.malformed
                or any(line.count(self._layout.format.delimiter.encode()) == delimiters for line in lines)
            ):
                personal = bool(self._layout.header.contract.personal)
                raise LinesSwallowed(record + 1, self._text(record), broken[record], personal=personal)

    def _refuse_records_within_records(self, count: int, broken: dict[int, str]) -> None:
        """Raises LinesSwallowed for a record most of whose lines are records, by their number of fields and by the
        values of their numbers and dates: a stray quote opens in the first, another closes in the last. Where all
        columns are text, every line must have the fields, three or more: two also come about in plain text."""
        data, header = self._block.data, self._layout.header
        lines_there = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") + (data[-1:] not in b"\r\n")
        if not len(self._block.quoted_from) or header.width == 1 or lines_there <= count:
            return
        starts, _ = self._bounds
        found = np.frombuffer(data, np.uint8)
        at = np.flatnonzero((found == ord("\n")) | (found == ord("\r")))
        lines = np.stack((np.concatenate(([0], at + 1)), np.concatenate((at, [len(data)]))), axis=1)
        lines = lines[lines[:, 0] < lines[:, 1]]
        of_record = np.searchsorted(starts, lines[:, 0], side="right") - 1
        counts = np.bincount(of_record, minlength=len(starts))
        counts[list(broken)] = 0
        over_lines = counts[of_record] > 1
        likely = self._likely_records(lines[over_lines])
        votes = np.bincount(of_record[over_lines][likely], minlength=len(starts))
        swallowed = (counts > 1) & ((votes == counts) if self._all_text else (votes * 2 > counts))
        for record in np.flatnonzero(swallowed).tolist():
            reason = "each of them is a record by itself"
            raise LinesSwallowed(record + 1, self._text(record), reason, personal=bool(header.contract.personal))

    @cached_property
    def _all_text(self) -> bool:
        typed = zip(self._layout.header.contract.columns, self._layout.header.positions, strict=True)
        return all(place is None or column.logical.name in ("string", "json") for column, place in typed)

    def _likely_records(self, lines: Positions) -> Mask:
        """Which lines (start and end of each) are records by their number of fields and by what numbers and dates
        hold."""
        header, delimiter = self._layout.header, self._layout.format.delimiter.encode()
        delimiters = np.flatnonzero(np.frombuffer(self._block.data, np.uint8) == delimiter[0])
        whole: Mask = np.diff(np.searchsorted(delimiters, lines), axis=1)[:, 0] == header.width - 1
        if self._all_text:
            return whole & (header.width > 2)
        rows = np.flatnonzero(whole)
        fields = [self._block.data[start:end].split(delimiter) for start, end in lines[rows].tolist()]
        plausible = np.zeros(len(rows), dtype=bool)
        wrong = np.zeros(len(rows), dtype=bool)
        around = b" \t\r" + (self._layout.format.quote_character or "").encode()
        for column, place, convert in zip(header.contract.columns, header.positions, self._layout.convert, strict=True):
            if len(rows) and place is not None and column.logical.name not in ("string", "json"):
                texts = [line[place].strip(around).decode("utf-8", "replace") or None for line in fields]
                values = convert(pa.array(texts, pa.string()))
                wrong[list(values.bad)] = True
                plausible |= values.array.is_valid().to_numpy(zero_copy_only=False)
        whole[rows[wrong | ~plausible]] = False
        return whole

    def _without(self, broken: dict[int, str]) -> bytes:
        if not broken:
            return self._block.data
        starts, ends = self._bounds
        kept, place = [], 0
        for record in sorted(broken):
            kept.append(self._block.data[place : starts[record]])
            place = int(ends[record])
        return b"".join([*kept, self._block.data[place:]])

    def _parsed(self, data: bytes) -> pa.Table:
        """The fields as bytes: null where empty without quotes. Ragged rows are kept apart, by their number from 1
        among the rows of `data`."""
        header, format = self._layout.header, self._layout.format
        names = [str(place) for place in range(header.width)]
        if _LINE_ENDS.fullmatch(data):
            return pa.table({name: pa.array([], pa.binary()) for name in names})

        def keep_ragged(row: Any) -> Literal["skip"]:
            self._ragged[row.number] = row.actual_columns
            return "skip"

        source: Any = pa.BufferReader(data)
        return arrow_csv.read_csv(
            source,
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            parse_options=arrow_csv.ParseOptions(
                delimiter=format.delimiter,
                quote_char=format.quote_character or False,
                newlines_in_values=True,
                invalid_row_handler=keep_ragged,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()),
                include_columns=[str(place) for place in header.positions if place is not None],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _converted(self, table: pa.Table) -> list[Converted]:
        columns = []
        for place, convert in zip(self._layout.header.positions, self._layout.convert, strict=True):
            texts: Array = pa.nulls(table.num_rows, pa.string())
            columns.append(convert(texts if place is None else _as_text(table.column(str(place)))))
        return columns


def _rejects(records: Positions, reasons: dict[int, str], texts: Sequence[str] | Array) -> pa.RecordBatch:
    return reject_batch(records + 1, [None] * len(records), [reasons[record] for record in records.tolist()], texts)


def _as_text(column: Array) -> Array:
    """Bytes known to be UTF-8 as strings, without a copy."""
    data = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return pa.Array.from_buffers(pa.string(), len(data), data.buffers(), data.null_count, data.offset)
