"""Tells the rows that keep a contract from the rejects, by the values of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.contract import Column
from data_platform.lake.writer import REJECTS_SCHEMA

# pyarrow-stubs type arrays by their value type, which only the contract knows here.
Array: TypeAlias = Any

RAW_TEXT_LIMIT = 10_000
HIDDEN = "breaks the contract; the value is personal, and only the extract's rejects in the lake have it"
"""The reason of a reject whose own reason might quote personal data."""


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


def parted(
    batch: pa.RecordBatch,
    columns: Sequence[Column],
    converted: Sequence[Converted],
    record_numbers: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]],
    raw_text: Callable[[int], str],
) -> tuple[pa.RecordBatch, list[Reject]]:
    """The good rows of a batch, and a reject for each of the others. `converted` are the values of the columns, which
    the batch holds; `raw_text` returns a row's text as its source gave it."""
    faults: dict[int, list[tuple[str, str]]] = {}
    for column, values in zip(columns, converted, strict=True):
        bad = dict(values.bad)
        if not column.nullable and values.array.null_count:
            nulls = np.flatnonzero(values.array.is_null().to_numpy(zero_copy_only=False))
            bad = {int(row): "is null, which the contract doesn't allow" for row in nulls} | bad
        bad |= _too_long(column, values.array)
        for row, reason in bad.items():
            faults.setdefault(row, []).append((column.name, HIDDEN if column.personal else reason))
    if faults:
        good = np.ones(batch.num_rows, dtype=bool)
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
    return batch, rejects


def _too_long(column: Column, array: Array) -> dict[int, str]:
    """The rows whose value Snowflake couldn't store; one of them would fail the load of every extract beside it."""
    if column.longest is None or array.nbytes <= column.longest:
        return {}
    lengths: Array = pc.binary_length(array)
    sizes = lengths.fill_null(0).to_numpy()
    most = f"Snowflake stores at most {column.longest:,} in a {column.snowflake_type}"
    return {int(row): f"has {sizes[row]:,} bytes; {most}" for row in np.flatnonzero(sizes > column.longest)}
