"""Typed values as JSON: any parser accepts it, and nothing is lost, or the value is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.json_text import json_of, json_writes, quick_json_of, shown_row
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


_LEAVES = st.sampled_from([
    (pa.null(), st.none()),
    (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    (pa.bool_(), st.none() | st.booleans()),
    (pa.string(), st.none() | st.text()),
    (pa.float64(), st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    (pa.binary(), st.none() | st.binary(max_size=4)),
    (pa.date32(), st.none() | st.dates()),
    (pa.timestamp("us", tz="UTC"), st.none() | st.datetimes(timezones=st.just(UTC))),
    (pa.time64("us"), st.none() | st.times()),
])  # fmt: skip


def _nested(inner: Any) -> Any:
    lists = [
        inner.map(lambda found, kind=kind: (kind(found[0]), st.none() | st.lists(found[1], max_size=4)))
        for kind in (pa.list_, pa.large_list)
    ]
    return st.one_of(*lists, st.lists(inner, max_size=3).map(_struct))


def _struct(members: Any) -> Any:
    named = {f"f{at}": member for at, member in enumerate(members)}
    values = st.fixed_dictionaries({name: values for name, (_, values) in named.items()})
    return pa.struct([(name, kind) for name, (kind, _) in named.items()]), st.none() | values


_TYPED = st.recursive(_LEAVES, _nested, max_leaves=6)


@given(_TYPED.flatmap(lambda typed: st.tuples(st.just(typed[0]), st.lists(typed[1], max_size=6))), st.integers(0, 2))
def test_the_quick_way_writes_the_same(typed: Any, skipped: int) -> None:
    kind, values = typed
    array: Any = pa.array(values, kind).slice(skipped)
    assert json_writes(kind)
    assert quick_json_of(array) == [json_of(scalar) if scalar.is_valid else None for scalar in array]
