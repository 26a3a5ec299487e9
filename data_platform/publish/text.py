"""Rows as PostgreSQL's COPY reads them in its text format, which is also what fingerprints are made of.

Not CSV: before PostgreSQL 18, a line `\\.` within a quoted value ends the data
(https://www.postgresql.org/docs/18/release-18.html#RELEASE-18-MIGRATION).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from data_platform.publish import shapes

_ESCAPED = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def text_of(batch: pa.RecordBatch) -> bytes:
    """A line for each row, its values separated by tabs; `\\N` is null. Shapes are EWKB in hexadecimal digits."""
    import pyarrow.compute as pc

    compute: Any = pc
    texts = []
    for values in batch.columns:
        if pa.types.is_binary(values.type):
            text = shapes.ewkb(values)
        elif pa.types.is_string(values.type):
            text = values
            for raw, escaped in _ESCAPED:
                text = compute.replace_substring(text, raw, escaped)
        else:
            text = values.cast(pa.string())
        texts.append(compute.fill_null(text, "\\N"))
    if not batch.num_rows:
        return b""
    lines = compute.binary_join_element_wise(*texts, "\t")
    every: Any = pa.LargeListArray
    joined = compute.binary_join(every.from_arrays([0, len(lines)], lines), "\n")
    return bytes(joined[0].as_buffer()) + b"\n"
