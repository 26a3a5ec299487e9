"""Typed values as JSON: any parser accepts it, and nothing is lost, or the value is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.json_text import json_of, shown_row
from data_platform.values.rule import BadValue
from data_platform.values.typed import typed_converter_for

NOT_UTF8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")])


def far(kind: pa.DataType) -> Any:
    narrow = pa.types.is_date32(kind)
    return pa.array([10**7 if narrow else 2**62], pa.int32() if narrow else pa.int64()).cast(kind)[0]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ({"a": 1.5, "b": None}, pa.struct({"a": pa.float64(), "b": pa.float64()}), '{"a":1.5,"b":null}'),
        ([Decimal("1.50"), None], pa.list_(pa.decimal128(5, 2)), "[1.50,null]"),
        ([0.1], pa.list_(pa.float32()), "[0.1]"),
        ([("k", b"\1\xff")], pa.map_(pa.string(), pa.binary()), '{"k":"01ff"}'),
        ([(1, True)], pa.map_(pa.int8(), pa.bool_()), '{"1":true}'),
        ({'q"': "é\n"}, pa.struct({'q"': pa.string()}), '{"q\\"":"é\\n"}'),
        ([datetime(2026, 3, 9, tzinfo=UTC)], pa.list_(pa.timestamp("us", "UTC")), '["2026-03-09T00:00:00+00:00"]'),
        ([date(2026, 3, 9)], pa.list_(pa.date32()), '["2026-03-09"]'),
    ],
)
def test_nested_values_are_json(value: Any, kind: pa.DataType, text: str) -> None:
    found = json_of(pa.array([value], kind)[0])
    assert found == text
    json.loads(found, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("scalar", "reason"),
    [
        (pa.array([float("nan")])[0], "holds NaN"),
        (pa.array([[float("-inf")]])[0], "holds an infinity"),
        (far(pa.date32()), "outside the years"),
        (far(pa.date64()), "outside the years"),
        (far(pa.timestamp("us")), "outside the years"),
        (far(pa.timestamp("us", "America/New_York")), "outside the years"),
        (far(pa.duration("s")), "out of its range"),
        (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8()))[0], "names a member twice"),
        (NOT_UTF8[0], "not UTF-8"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_still_shown(scalar: Any, reason: str) -> None:
    with pytest.raises(BadValue, match=reason):
        json_of(scalar)
    assert shown_row(["c"], [scalar]).startswith('{"c": ')


def test_text_that_is_not_utf8_is_a_reject_of_its_row() -> None:
    convert = typed_converter_for(FileColumn(name="s", type="string"), pa.string())
    assert convert is not None
    found = convert(pa.concat_arrays([pa.array(["good", None]), NOT_UTF8]))
    assert found.array.to_pylist() == ["good", None, None]
    assert found.bad == {2: "byte 0xFF at byte 2 is not UTF-8"}
