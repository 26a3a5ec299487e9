"""Tells the rows that keep a contract from the rejects, by the values of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.contract import Column
from data_platform.lake.writer import REJECTS_SCHEMA

# pyarrow-stubs type arrays by their value type, which only the contract knows here.
Array: TypeAlias = Any
Rows: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]

RAW_TEXT_LIMIT = 10_000
_NO_REJECTS = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in REJECTS_SCHEMA], schema=REJECTS_SCHEMA)
HIDDEN = "breaks the contract; the value is personal, and only the extract's rejects in the lake have it"
"""The reason of a reject whose own reason might quote personal data."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A column's values, and the reason for each row whose value is invalid."""

    array: Array
    bad: Mapping[int, str]


def reject_batch(
    record_numbers: Sequence[int] | Rows,
    column_names: Sequence[str | None],
    reasons: Sequence[str] | Array,
    raw_texts: Sequence[str] | Array,
) -> pa.RecordBatch:
    """Bad records as a batch of REJECTS_SCHEMA, one row each. `column_names`: the first invalid column, in the
    contract's order; None where the whole record is broken. `reasons` name every invalid column."""
    columns = (record_numbers, column_names, reasons, _bounded(pa.array(raw_texts, pa.string())))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, REJECTS_SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=REJECTS_SCHEMA)


def in_order(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All these rejects in the order of their records."""
    filled = [batch for batch in batches if batch.num_rows]
    if len(filled) < 2:
        return filled[0] if filled else _NO_REJECTS
    ordered: Array = pa.Table.from_batches(filled).sort_by("record_number").combine_chunks()
    (batch,) = ordered.to_batches()
    return batch  # type: ignore[no-any-return]


def parted(
    batch: pa.RecordBatch,
    columns: Sequence[Column],
    converted: Sequence[Converted],
    record_numbers: Sequence[int] | Rows,
    raw_texts: Callable[[Rows], Sequence[str] | Array],
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The good rows of a batch, and the others as rejects. `converted` are the values of the columns, which the batch
    holds; `raw_texts` returns the text of some rows, in ascending order, as their source gave it."""
    first: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for column, values in zip(columns, converted, strict=True):
        bad = dict(values.bad)
        if not column.nullable and values.array.null_count:
            nulls = np.flatnonzero(values.array.is_null().to_numpy(zero_copy_only=False))
            bad = dict.fromkeys(nulls.tolist(), "is null, which the contract doesn't allow") | bad
        bad |= _too_long(column, values.array)
        for row, reason in bad.items():
            told = f"{column.name}: {HIDDEN if column.personal else reason}"
            reasons[row] = f"{reasons[row]}; {told}" if row in reasons else told
            first.setdefault(row, column.name)
    if not reasons:
        return batch, _NO_REJECTS
    rows = np.array(sorted(reasons), dtype=np.int64)
    good = np.ones(batch.num_rows, dtype=bool)
    good[rows] = False
    rejects = reject_batch(
        np.asarray(record_numbers, dtype=np.int64)[rows],
        [first[row] for row in rows.tolist()],
        [reasons[row] for row in rows.tolist()],
        raw_texts(rows),
    )
    return batch.filter(pa.array(good)), rejects


def _bounded(texts: Array) -> Array:
    """The records' texts as rejects keep them: the first 10,000 characters, and how many more there are."""
    lengths: Array = pc.utf8_length(texts)
    long: Array = pc.greater(lengths, pa.scalar(RAW_TEXT_LIMIT, lengths.type))
    if not pc.any(long).as_py():
        return texts
    further: Array = pc.cast(pc.subtract(lengths, RAW_TEXT_LIMIT), pa.string())
    cut = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(texts, 0, RAW_TEXT_LIMIT), "… (", further, " more characters)", ""
    )
    return pc.if_else(long, cut, texts)


def _too_long(column: Column, array: Array) -> dict[int, str]:
    """The rows whose value Snowflake couldn't store; one of them would fail the load of every extract beside it."""
    if column.longest is None or array.nbytes <= column.longest:
        return {}
    lengths: Array = pc.binary_length(array)
    sizes = lengths.fill_null(0).to_numpy()
    most = f"Snowflake stores at most {column.longest:,} in a {column.snowflake_type}"
    return {int(row): f"has {sizes[row]:,} bytes; {most}" for row in np.flatnonzero(sizes > column.longest)}
