"""Chunks of a delivery: its valid rows and, apart from them, its rejects.

The accounting behind `rows read = rows loaded + rejects` is here; formats and conversion rules are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import RECORD_NUMBER
from data_platform.lake.writer import REJECTS_SCHEMA
from data_platform.values.rejects import HIDDEN, Array, Converted, Rows, in_order, parted


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a delivery: `batch` of the contract's columns and `_record_number`, `rejects` of
    REJECTS_SCHEMA, one per bad record. Both are in the file's order."""

    batch: pa.RecordBatch
    rejects: pa.RecordBatch

    @property
    def rows_read(self) -> int:
        """Records of the file in this chunk, good and bad."""
        return int(self.batch.num_rows + self.rejects.num_rows)

    def numbered_after(self, count: int) -> Chunk:
        """The same chunk, `count` records further on in the file."""
        if not count:
            return self
        numbers = pc.add(self.batch.column(RECORD_NUMBER), count)
        at = self.batch.schema.get_field_index(RECORD_NUMBER)
        batch = self.batch.set_column(at, self.batch.schema.field(at), numbers)
        numbers = pc.add(self.rejects.column("record_number"), count)
        return Chunk(batch, self.rejects.set_column(0, REJECTS_SCHEMA.field(0), numbers))


def batch_schema(contract: FileContract) -> pa.Schema:
    """The schema of a chunk's `batch`."""
    return contract.arrow_schema.append(pa.field(RECORD_NUMBER, pa.int64(), nullable=False))


def assemble(
    contract: FileContract,
    columns: Sequence[Converted],
    record_numbers: Rows,
    raw_texts: Callable[[Rows], Sequence[str] | Array],
    broken: Sequence[pa.RecordBatch] = (),
) -> Chunk:
    """Separates valid rows from rejects. `columns` are in the contract's order and `record_numbers` has one number per
    row; `raw_texts` returns the texts of some rows as delivered; `broken` are rejects of records that have no row."""
    batch = pa.record_batch(
        [converted.array for converted in columns] + [pa.array(record_numbers)], schema=batch_schema(contract)
    )
    good, rejects = parted(batch, contract.columns, columns, record_numbers, raw_texts)
    if contract.personal:
        broken = [_hidden(each) for each in broken]
    return Chunk(good, in_order([rejects, *broken]))


def _hidden(rejects: pa.RecordBatch) -> pa.RecordBatch:
    at = REJECTS_SCHEMA.get_field_index("reason")
    return rejects.set_column(at, REJECTS_SCHEMA.field(at), pa.repeat(pa.scalar(HIDDEN), rejects.num_rows))
