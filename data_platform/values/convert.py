"""Whole columns of text to typed Arrow arrays, at the speed of Arrow's kernels and by the rules of each type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.feeds.file_contract import FileColumn
from data_platform.values import moment_columns, moments, numbers, shapes, words
from data_platform.values.kernels import Mask, has_byte, mask, pc
from data_platform.values.rejects import Array, Converted
from data_platform.values.rule import BadValue, Rule

_RULES: dict[str, Callable[[FileColumn], Rule]] = {
    **dict.fromkeys(numbers.INTEGER_BITS, numbers.integer_rule),
    "decimal": numbers.decimal_rule,
    "float": numbers.float_rule,
    "boolean": words.boolean_rule,
    "json": words.json_rule,
    "binary": words.binary_rule,
    "geometry": shapes.geometry_rule,
    "date": moments.date_rule,
    "timestamp": moments.timestamp_rule,
    "time": moments.time_rule,
}
# Types without an entry go to their rule value by value.
_ATTEMPTS: dict[str, Callable[[Array, FileColumn], tuple[Array, Mask]]] = {
    **dict.fromkeys(numbers.INTEGER_BITS, numbers.integers),
    "decimal": numbers.decimals,
    "float": numbers.floats,
    "boolean": words.booleans,
    "date": moment_columns.dates,
    "timestamp": moment_columns.timestamps,
    "time": moment_columns.times,
}
# Types of which a value takes so long to convert that finding the distinct texts of a column first pays off.
_COSTLY = frozenset(("date", "time", "timestamp"))
_SAMPLE = 10_000

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def rule_for(column: FileColumn) -> Rule:
    """The rule of a column that isn't a string: text -> Python value of its Arrow type, or BadValue."""
    return _RULES[column.logical.name](column)


def converter_for(column: FileColumn) -> Callable[[Array], Converted]:
    """What converts a column's text (an Arrow string array, its nulls kept). Build it once a delivery."""
    if column.logical.name == "string":
        return lambda texts: Converted(_with_nulls(texts, column), {})
    rule, in_bulk = rule_for(column), _ATTEMPTS.get(column.logical.name, _nothing)

    def each(texts: Array) -> Converted:
        texts = _with_nulls(texts, column)
        array, suspects = in_bulk(texts, column)
        rows = np.flatnonzero(suspects & mask(texts.is_valid()))
        asked = texts.take(pa.array(rows)).to_pylist() if len(rows) else []
        return by_rule(array, rows, asked, rule, column)

    def convert(texts: Array) -> Converted:
        if column.logical.name in _COSTLY and _repeats(texts):
            return _by_distinct_text(texts, each)
        return each(texts)

    return convert


def _repeats(texts: Array) -> bool:
    """Whether the first texts occur four times or more on average."""
    return len(texts) > _SAMPLE and len(texts.slice(0, _SAMPLE).unique()) * 4 <= _SAMPLE


def _by_distinct_text(texts: Array, convert: Callable[[Array], Converted]) -> Converted:
    """Converts each distinct text once."""
    encoded = texts.dictionary_encode()
    found = convert(encoded.dictionary)
    array = found.array.take(encoded.indices)
    if not found.bad:
        return Converted(array, {})
    # One place more than there are texts, for null, which is never bad.
    is_bad = np.zeros(len(encoded.dictionary) + 1, dtype=bool)
    is_bad[list(found.bad)] = True
    which = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    rows = np.flatnonzero(is_bad[which])
    return Converted(array, {row: found.bad[at] for row, at in zip(rows.tolist(), which[rows].tolist(), strict=True)})


def _nothing(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    return pa.array([None] * len(texts), column.arrow_type), np.ones(len(texts), dtype=bool)


def _with_nulls(texts: Array, column: FileColumn) -> Array:
    """Null words made null; and, but for strings, blanks around values taken off and empty values made null."""
    if column.logical.name != "string":
        if has_byte(texts, b" \t"):
            texts = pc.utf8_trim(texts, characters=" \t")
        lengths = pc.binary_length(texts)
        if len(texts) > texts.null_count and pc.min(lengths).as_py() == 0:
            texts = pc.if_else(pc.equal(lengths, 0), None, texts)
    if column.null_words:
        texts = pc.if_else(pc.is_in(texts, value_set=pa.array(column.null_words)), None, texts)
    return texts


def by_rule(array: Array, rows: Rows, texts: Sequence[str], rule: Rule, column: Column) -> Converted:
    """Asks the rule about the values at these rows, of which `texts` are the texts; `array` holds anything there."""
    if not len(rows):
        return Converted(array, {})
    known: dict[str, tuple[object, str | None]] = {}
    bad: dict[int, str] = {}
    values = []
    for row, text in zip(rows.tolist(), texts, strict=True):
        if text not in known:
            try:
                known[text] = (rule(text), None)
            except BadValue as error:
                known[text] = (None, str(error))
        value, reason = known[text]
        values.append(value)
        if reason is not None:
            bad[row] = reason
    if len(bad) == len(rows):
        return Converted(array, bad)
    if len(rows) == len(array):
        return Converted(pa.array(values, column.arrow_type), bad)
    chosen = np.arange(len(array), dtype=np.int64)
    chosen[rows] = np.arange(len(array), len(array) + len(rows))
    both = pa.concat_arrays([array, pa.array(values, column.arrow_type)])
    return Converted(both.take(pa.array(chosen)), bad)
