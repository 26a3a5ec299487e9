"""Delimited text with a header row: blocks of records, read by two threads, to chunks in the file's order.

Which bytes are a record is decided in `csv_records.py`; what a block's records hold, in `csv_block.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from data_platform.extract.source import OPERATOR
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import CsvFormat
from data_platform.landing.chunk import Chunk
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.header import match_header
from data_platform.landing.readers.csv_block import Layout, LinesSwallowed, RecordsDiffer, read_block
from data_platform.landing.readers.csv_records import (
    BLOCK_BYTES,
    MAX_RECORD_BYTES,
    Block,
    RecordTooLong,
    Splitter,
)
from data_platform.landing.text import Readable, Text, fault, visible
from data_platform.values.convert import converter_for

WORKERS = 2
# Blocks in the works: enough to keep the workers busy while the caller writes, few enough to bound memory.
_AHEAD = 3


class CsvReader:
    """Reads a decoded stream. `contract` is known at once: columns that drift adds are in it. `row_bytes`: a row that
    keeps it has at least as many."""

    def __init__(
        self,
        stream: Readable,
        rules: FileFeedSpec,
        format: CsvFormat,
        subject: str,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._subject, self._format = subject, format
        self._too_long: RecordTooLong | None = None
        self._splitter = Splitter(format.delimiter, format.quote_character)
        self._text = Text(stream, format.encoding, subject)
        self._blocks = self._readable(self._splitter.blocks(self._text, block_bytes))
        names, self._first = self._header()
        header = match_header(names, rules.contract, subject)
        self.contract = header.contract
        convert = tuple(converter_for(column) for column in header.contract.columns)
        self._layout = Layout(format, header, convert)
        self.row_bytes = max(2, header.width)

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once. A caller that stops early leaves no thread behind once the iterator is closed."""
        done = 0
        waiting: deque[Future[Chunk]] = deque()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="read-csv") as pool:
            try:
                waiting.append(pool.submit(read_block, self._first, self._layout))
                while waiting:
                    while len(waiting) < _AHEAD and (block := next(self._blocks, None)) is not None:
                        waiting.append(pool.submit(read_block, block, self._layout))
                    try:
                        chunk = waiting.popleft().result()
                    except LinesSwallowed as error:
                        raise DeliveryUnreadable(
                            f"{self._subject}: record {done + error.record} goes on over {error.lines} lines, and"
                            f" {error.reason}: a quote ({self._format.quote}) that is never closed, or opens in plain"
                            f" text, has taken the lines behind it for one field. It begins {error.text!r}. Send"
                            f" it again with quotes doubled within quoted fields.{OPERATOR}if quotes are plain text in"
                            " this feed, set format.quote to none"
                        ) from None
                    except RecordsDiffer as error:
                        raise DeliveryUnreadable(
                            f"{self._subject}: {error.parsed} records were parsed where {error.found} were found,"
                            f" behind record {done}; the file's quotes or line ends may be mixed. Send it again"
                            f" with the same quotes and line ends throughout.{OPERATOR}report it if that doesn't help"
                        ) from None
                    yield chunk.numbered_after(done)
                    done += chunk.rows_read
            finally:
                for future in waiting:
                    future.cancel()
        self._refuse_too_long(done + 1)
        if self._format.ends_with_newline:
            self._text.refuse_open_end()

    def _header(self) -> tuple[list[str], Block]:
        """The header's fields, and the rest of the block that contains the header."""
        for block in self._blocks:
            starts, ends = block.bounds()
            if len(starts):
                break
        else:
            self._refuse_too_long(0)
            raise DeliveryUnreadable(
                f"{self._subject}: the file is empty; expected at least a header row. Send it again"
            )
        record = block.data[starts[0] : ends[0]]
        wrong = fault(record, self._format.encoding) or block.malformed.get(int(starts[0]))
        if wrong:
            shown = visible(record, self._format.encoding)[:200]
            raise DeliveryUnreadable(
                f"{self._subject}: the header row {shown!r} can't be read: {wrong}. Expected text in"
                f" {self._format.encoding}, delimited by {self._format.delimiter!r}. Send it so."
                f"{OPERATOR}if the file is right, change the feed's format"
            )
        return [name.decode() for name in self._splitter.fields(record)], self._splitter.whole(block.data[ends[0] :])

    def _readable(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks before a record that is too long, which is told once these are read: then its number is known."""
        try:
            yield from blocks
        except RecordTooLong as error:
            self._too_long = error

    def _refuse_too_long(self, record: int) -> None:
        if self._too_long is not None:
            raise DeliveryUnreadable(
                f"{self._subject}: record {record} is longer than {MAX_RECORD_BYTES // 2**20} MiB;"
                f" {self._too_long.reason}"
            )
