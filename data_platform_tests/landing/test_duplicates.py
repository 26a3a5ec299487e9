"""Of records with the same key the last one counts."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from data_platform.landing.duplicates import duplicate_keys

_KEYS = st.lists(
    st.tuples(st.sampled_from("ab é"), st.integers(0, 3), st.sampled_from([Decimal("1.5"), Decimal("2.5")]))
)


@settings(deadline=None)
@given(_KEYS, st.integers(1, 5))
def test_every_record_but_the_last_of_its_key_is_superseded_by_the_last(
    keys: list[tuple[str, int, Decimal]], chunk: int
) -> None:
    schema = pa.schema(
        [("a", pa.string()), ("b", pa.int32()), ("c", pa.decimal128(5, 1)), ("_record_number", pa.int64())]
    )
    rows = [dict(zip("abc", key, strict=True)) | {"_record_number": 10 * at} for at, key in enumerate(keys, 1)]
    batches = [pa.RecordBatch.from_pylist(rows[at : at + chunk], schema) for at in range(0, len(rows), chunk)]
    last = {key: 10 * at for at, key in enumerate(keys, 1)}
    expected = [
        {"record_number": 10 * at, "superseded_by": last[key]} for at, key in enumerate(keys, 1) if last[key] != 10 * at
    ]
    assert duplicate_keys(pa.Table.from_batches(batches, schema)).to_pylist() == expected
