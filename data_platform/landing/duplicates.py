"""Records of one delivery that share a key: the last of them counts, the earlier ones are superseded.

A separate pass over the key columns alone, for load modes that need a key to occur once.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_platform.contract import RECORD_NUMBER

SCHEMA = pa.schema([pa.field("record_number", pa.int64()), pa.field("superseded_by", pa.int64())])


def duplicate_keys(keys: pa.Table) -> pa.Table:
    """Which records are superseded, and by which: a table of SCHEMA in the file's order.

    `keys` has the contract's key columns (no nulls) and `_record_number`. Memory is about 40 bytes a row, and the
    distinct keys."""
    numbers = keys.column(RECORD_NUMBER).to_numpy()
    group = np.zeros(len(numbers), dtype=np.int64)
    for name in keys.column_names:
        if name == RECORD_NUMBER:
            continue
        encoded = keys.column(name).combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy().astype(np.int64)
        # Codes are below the number of rows, and so is `group` once it is made dense again.
        _, group = np.unique(group * max(len(encoded.dictionary), 1) + codes, return_inverse=True)
    last = np.zeros(int(group.max()) + 1 if len(group) else 0, dtype=np.int64)
    np.maximum.at(last, group, numbers)
    by = last[group]
    superseded = np.flatnonzero(by != numbers)
    superseded = superseded[np.argsort(numbers[superseded])]
    return pa.table([pa.array(numbers[superseded]), pa.array(by[superseded])], schema=SCHEMA)
