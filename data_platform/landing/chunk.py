"""Chunks of a delivery: its valid rows and, apart from them, its rejects.

The accounting behind `rows read = rows loaded + rejects` is here; formats and conversion rules are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.contract import Column
from data_platform.feeds.files import RECORD_NUMBER, FileContract
from data_platform.lake.writer import REJECTS_SCHEMA

# pyarrow-stubs type arrays by their value type, which only the contract knows here.
Array: TypeAlias = Any

RAW_TEXT_LIMIT = 10_000
HIDDEN = "breaks the contract; the value is personal, and only the extract's rejects in the lake have it"
"""The reason of a reject whose own reason might quote personal data."""


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


@dataclass(frozen=True, slots=True)
class Reject:
    """One bad record. `column_name`: the first invalid column, in the contract's order; None when the whole record is
    broken. `reason` names every invalid column."""

    record_number: int
    column_name: str | None
    reason: str
    raw_text: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A column's values, and the reason for each row whose value is invalid."""

    array: Array
    bad: Mapping[int, str]


def batch_schema(contract: FileContract) -> pa.Schema:
    """The schema of a chunk's `batch`."""
    return contract.arrow_schema.append(pa.field(RECORD_NUMBER, pa.int64(), nullable=False))


def bounded(text: str) -> str:
    """The record's text as a reject keeps it: the first 10,000 characters, and how many more there are."""
    if len(text) <= RAW_TEXT_LIMIT:
        return text
    return f"{text[:RAW_TEXT_LIMIT]}… ({len(text) - RAW_TEXT_LIMIT} more characters)"


def reject_batch(rejects: Iterable[Reject]) -> pa.RecordBatch:
    """The rejects in the order of their records."""
    ordered = sorted(rejects, key=lambda reject: reject.record_number)
    columns = [pa.array([getattr(reject, field.name) for reject in ordered], field.type) for field in REJECTS_SCHEMA]
    return pa.record_batch(columns, schema=REJECTS_SCHEMA)


def assemble(
    contract: FileContract,
    columns: Sequence[Converted],
    record_numbers: np.ndarray[tuple[int], np.dtype[np.int64]],
    raw_text: Callable[[int], str],
    broken: Sequence[Reject] = (),
) -> Chunk:
    """Separates valid rows from rejects. `columns` are in the contract's order and `record_numbers` has one number per
    row; `raw_text` returns a row's text as delivered; `broken` are records that have no row."""
    faults: dict[int, list[tuple[str, str]]] = {}
    for column, converted in zip(contract.columns, columns, strict=True):
        bad = dict(converted.bad)
        if not column.nullable and converted.array.null_count:
            nulls = np.flatnonzero(converted.array.is_null().to_numpy(zero_copy_only=False))
            bad = {int(row): "is null, which the contract doesn't allow" for row in nulls} | bad
        bad |= _too_long(column, converted.array)
        for row, reason in bad.items():
            faults.setdefault(row, []).append((column.name, HIDDEN if column.personal else reason))
    batch = pa.record_batch(
        [converted.array for converted in columns] + [pa.array(record_numbers)], schema=batch_schema(contract)
    )
    if faults:
        good = np.ones(len(record_numbers), dtype=bool)
        good[list(faults)] = False
        batch = batch.filter(pa.array(good))
    rejects = [
        Reject(
            int(record_numbers[row]),
            found[0][0],
            "; ".join(f"{name}: {reason}" for name, reason in found),
            bounded(raw_text(row)),
        )
        for row, found in faults.items()
    ]
    if contract.personal:
        broken = [replace(reject, reason=HIDDEN) for reject in broken]
    return Chunk(batch, reject_batch([*rejects, *broken]))


def _too_long(column: Column, array: Array) -> dict[int, str]:
    """The rows whose value Snowflake couldn't store; one of them would fail the load of every file beside it."""
    if column.longest is None or array.nbytes <= column.longest:
        return {}
    lengths: Array = pc.binary_length(array)
    sizes = lengths.fill_null(0).to_numpy()
    most = f"Snowflake stores at most {column.longest:,} in a {column.snowflake_type}"
    return {int(row): f"has {sizes[row]:,} bytes; {most}" for row in np.flatnonzero(sizes > column.longest)}
