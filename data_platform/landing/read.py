"""Reads one delivery: a partner's file, by its feed's rules, to chunks of good rows and of rejects.

The stream is read once and forward; limits, manifests and outcomes are the caller's (`accept.py`).

    >>> import io
    >>> rules = FileFeedSpec.of({"source": "harbor_water", "table": "meters", "pattern": ".*", "contract":
    ...     {"columns": [{"name": "meter_id", "type": "string"}, {"name": "flow", "type": "int32"}]}})
    >>> reader = DeliveryReader(io.BytesIO(b"meter_id,flow\\nA,1\\nB,x\\n"), rules, file_name="m.csv")
    >>> [(chunk.batch.num_rows, chunk.rejects["reason"].to_pylist()) for chunk in reader]
    [(1, ["flow: 'x' is not a whole number"])]
    >>> reader.rows_read, reader.rows_rejected, reader.content_bytes
    (2, 1, 22)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

import pyarrow as pa

from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import CsvFormat, JsonLinesFormat, ParquetFormat
from data_platform.landing.chunk import Chunk, batch_schema
from data_platform.landing.decode import MAX_RATIO, Delivered, decoded, looks_like_a_bomb, most_decoded, too_many
from data_platform.landing.readers.csv import CsvReader
from data_platform.landing.readers.excel import ExcelReader
from data_platform.landing.readers.json_lines import ROW_BYTES, JsonLinesReader
from data_platform.landing.readers.parquet import ParquetReader

_SHEET_ROWS = 2**20
_UNPACKED_FROM_BYTES = 2**30
"""Rows that take less in memory are never too much for their file, whatever repetition its format packs away."""


class _FormatReader(Protocol):
    @property
    def contract(self) -> FileContract: ...

    def chunks(self) -> Iterator[Chunk]: ...


class DeliveryReader:
    """One delivery, to be iterated once.

    Making it reads the header: `contract` (with the columns that drift added) and `schema` (of every chunk's
    batch) are settled before the first chunk. After the last chunk `rows_read`, `rows_rejected`, `content_bytes`
    and `content_sha256` are of the whole file; rows_read = rows in the batches + rows_rejected at any time.

    `size`: how many bytes the stream has, where that is known; what a file may hold depends on it.

    Making and iterating it raise DeliveryUnreadable (the bytes aren't what the feed says) and ContractViolation
    (columns missing, unknown or repeated). A caller may stop early; `drain` then completes count and hash.
    """

    def __init__(
        self, stream: BinaryIO | Delivered, rules: FileFeedSpec, *, file_name: str, size: int | None = None
    ) -> None:
        self._delivered = stream if isinstance(stream, Delivered) else Delivered(stream)
        self._rules = rules
        self._subject = f"{rules.name}: {file_name}"
        self._known_size = size or 0
        self._format = _open(self._delivered, rules, self._subject)
        self.rows_read = 0
        self.rows_rejected = 0

    @property
    def contract(self) -> FileContract:
        """The feed's contract, with the columns that drift added."""
        return self._format.contract

    @property
    def schema(self) -> pa.Schema:
        """The schema of every chunk's batch: the contract's columns and `_record_number`."""
        return batch_schema(self.contract)

    @property
    def content_bytes(self) -> int:
        """Bytes read so far, as delivered."""
        return self._delivered.size

    @property
    def content_sha256(self) -> str:
        """Of the bytes read so far, as delivered, in hex."""
        return self._delivered.sha256

    def __iter__(self) -> Iterator[Chunk]:
        unpacked = 0
        for chunk in self._format.chunks():
            self.rows_read += chunk.rows_read
            self.rows_rejected += chunk.rejects.num_rows
            yield chunk
            unpacked += chunk.batch.nbytes
            if unpacked > max(_UNPACKED_FROM_BYTES, MAX_RATIO * self._size):
                raise looks_like_a_bomb(self._subject, self._size)
            if self.rows_read > self._rules.most_rows(self._size):
                raise too_many("rows", self._rules, self._subject, self._size)
        self.drain()

    @property
    def _size(self) -> int:
        """Bytes as delivered: of the file where that was told, else those read so far."""
        return max(self._known_size, self._delivered.size)

    @property
    def rows_at_most(self) -> int:
        """The most rows that the file can have."""
        if isinstance(self._format, ParquetReader):
            return self._format.rows
        if isinstance(self._format, ExcelReader):
            return _SHEET_ROWS
        row_bytes = self._format.row_bytes if isinstance(self._format, CsvReader) else ROW_BYTES
        # Each row that is read took a byte at least; the rest of the file may be the smallest rows.
        rest = most_decoded(self._rules, self._size) - self.rows_read
        return self.rows_read + max(0, rest) // row_bytes + 1

    def drain(self) -> None:
        """Reads what is left of the stream without looking at it, so that count and hash are of the whole file."""
        self._delivered.drain()


def _open(delivered: Delivered, rules: FileFeedSpec, subject: str) -> _FormatReader:
    content = decoded(delivered, rules, subject)
    if isinstance(rules.format, CsvFormat):
        return CsvReader(content, rules, rules.format, subject)
    if isinstance(rules.format, JsonLinesFormat):
        return JsonLinesReader(content, rules, rules.format, subject)
    if isinstance(rules.format, ParquetFormat):
        return ParquetReader(content, rules, subject)
    return ExcelReader(content, rules, rules.format, subject)
