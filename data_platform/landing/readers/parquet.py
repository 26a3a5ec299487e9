"""Parquet: a file of typed columns. A record's number is its row, from 1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_platform.extract.source import OPERATOR
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.chunk import Chunk, assemble
from data_platform.landing.decode import spooled, too_large, too_many
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable
from data_platform.landing.header import match_header
from data_platform.landing.recognize import START_BYTES, unlike
from data_platform.landing.text import Readable
from data_platform.values.json_text import shown_row
from data_platform.values.rejects import Array, Converted
from data_platform.values.typed import Convert, typed_converter_for

_ROWS = 65_536
_BATCH_BYTES = 16 * 2**20
_SAMPLE_ROWS = 16
_READ_BYTES = 2**20
"""What of each column's pages is in memory at a time: not the whole row group."""


class ParquetReader:
    """Reads a decoded stream by way of a temporary file, as Parquet's footer is at its end."""

    def __init__(self, stream: Readable, rules: FileFeedSpec, subject: str) -> None:
        self._subject, self._rules = subject, rules
        self._spool: IO[bytes] = spooled(stream)
        try:
            self._file = pq.ParquetFile(self._spool, page_checksum_verification=True, buffer_size=_READ_BYTES)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._spool.seek(0)
            wrong = unlike(self._spool.read(START_BYTES), "Parquet file", error, ("a Parquet file",))
            self._spool.close()
            raise DeliveryUnreadable(f"{subject}: {wrong}") from None
        groups = (self._file.metadata.row_group(at) for at in range(self._file.metadata.num_row_groups))
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > rules.max_decoded_bytes:
            raise too_large(subject, rules.max_decoded_bytes)
        try:
            schema = self._file.schema_arrow
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DeliveryUnreadable(
                f"{subject}: the Parquet file's columns can't be read ({error}); send it again"
            ) from None
        self.rows = self._file.metadata.num_rows
        self._header = match_header(schema.names, rules.contract, subject)
        self.contract = self._header.contract
        self._convert = [
            None if place is None else self._converter(at, schema.field(place))
            for at, place in enumerate(self._header.positions)
        ]

    def _converter(self, at: int, field: pa.Field[pa.DataType]) -> Convert:
        column = self.contract.columns[at]
        convert = typed_converter_for(column, field.type)
        if convert is None:
            raise ContractViolation(
                f"{self._subject}: column {field.name!r} is {field.type}, which can't be {column.type}"
                f" ({column.name}); send it as such.{OPERATOR}if the file is right, change the feed's contract"
            )
        return convert

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once."""
        done = elements = 0  # a run of the same elements takes no bytes
        packed = self._spool.seek(0, os.SEEK_END)
        with self._spool:
            try:
                for batch in self._file.iter_batches(batch_size=self._rows_at_once()):
                    elements += sum(map(_elements, batch.columns))
                    if elements > self._rules.most_rows(packed):
                        raise too_many("elements of lists", self._rules, self._subject, packed)
                    yield self._chunk(batch, done)
                    done += batch.num_rows
            except MemoryError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise DeliveryUnreadable(
                    f"{self._subject}: the Parquet file is broken after row {done} ({error}); send it again"
                ) from None

    def _rows_at_once(self) -> int:
        """As many rows as fill a batch if the first ones are like the others. The footer doesn't tell: it counts a text
        that occurs a million times once."""
        sample = next(self._file.iter_batches(batch_size=_SAMPLE_ROWS), None)
        if sample is None or not sample.num_rows:
            return _ROWS
        size: int = sum(_plain(column).nbytes for column in sample.columns)
        return max(1, min(_ROWS, _BATCH_BYTES * sample.num_rows // max(1, size)))

    def _chunk(self, batch: pa.RecordBatch, done: int) -> Chunk:
        columns = []
        for column, place, convert in zip(self.contract.columns, self._header.positions, self._convert, strict=True):
            if place is None or convert is None:
                empty: Array = pa.array([None] * batch.num_rows, column.arrow_type)
                columns.append(Converted(empty, {}))
            else:
                columns.append(convert(batch.column(place)))
        numbers = np.arange(done + 1, done + 1 + batch.num_rows, dtype=np.int64)
        return assemble(self.contract, columns, numbers, lambda rows: [_row_text(batch, row) for row in rows.tolist()])


def _elements(array: Any) -> int:
    if pa.types.is_struct(array.type):
        return sum(map(_elements, array.flatten()))
    if not pa.types.is_nested(array.type) or not hasattr(array, "values"):
        return 0
    return len(array.values) + _elements(array.values)


def _plain(column: Array) -> Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _row_text(batch: pa.RecordBatch, row: int) -> str:
    return shown_row(batch.schema.names, (column[row] for column in batch.columns))
