"""What single values may say: the types that the CSV property test leaves out, and the words of the reasons."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.convert import converter_for


def converted(text: str, **hints: Any) -> Any:
    """The value, or the reason as a string in a list."""
    found = converter_for(FileColumn.model_validate({"name": "x", **hints}))(pa.array([text]))
    return [found.bad[0]] if found.bad else found.array[0].as_py()


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("scale", [0, 10, 38])
def test_the_widest_decimals_are_exact(scale: int, sign: str) -> None:
    digits = "9" * 38
    text = sign + (digits[: 38 - scale] or "0") + ("." + digits[:scale] if scale else "")
    assert converted(text, type=f"decimal(38,{scale})") == Decimal(text)


@pytest.mark.parametrize(
    ("text", "hints", "reason"),
    [
        ("1.005", {"type": "decimal(6,2)"}, "'1.005' has more than 2 digits after the decimal mark"),
        ("10000", {"type": "decimal(6,2)"}, "'10000' has more than 4 digits before the decimal mark"),
        ("1.234,5", {"type": "decimal(6,2)", "decimal_mark": ","}, "has a point; the column's decimal mark is ','"),
        ("128", {"type": "int8"}, "'128' is outside -128..127 (int8)"),
        ("1e400", {"type": "float"}, "'1e400' is beyond the range of a 64-bit float"),
        ("maybe", {"type": "boolean"}, "'maybe' is not a boolean; expected one of true, 1, false, 0"),
        ("2026-02-30", {"type": "date"}, "'2026-02-30' is not a date YYYY-MM-DD"),
        ("03/09/26", {"type": "date", "formats": ["%d.%m.%Y"]}, "'03/09/26' doesn't follow %d.%m.%Y"),
        ("2026-03-09 01:00", {"type": "date", "formats": ["%Y-%m-%d %H:%M"]}, "has a time of day"),
        ("2026-03-09 01:00", {"type": "timestamp"}, "has no offset from UTC, and the column names no time_zone"),
        ("0001-01-01T00:00+01:00", {"type": "timestamp"}, "is outside the years 1..9999 in UTC"),
        ("zz", {"type": "binary"}, "'zz' is not hexadecimal"),
        ("a===", {"type": "binary", "binary_encoding": "base64"}, "'a===' is not base64"),
        ('{"a":1,"a":2}', {"type": "json"}, "an object names a member twice"),
        ("NaN", {"type": "json"}, "NaN is not JSON"),
        ("POINT (1", {"type": "geometry(4326)"}, "is not well-known text (WKT)"),
        ("SRID=3857;POINT (1 2)", {"type": "geometry(4326)"}, "is in SRID 3857; the column's is 4326"),
        ("POINT Z (1 2 3)", {"type": "geometry(4326)"}, "has more than two coordinates a point"),
        ("POLYGON ((0 0, 1 1, 0 1, 1 0, 0 0))", {"type": "geometry(4326)"}, "is not a valid shape: Self-inter"),
        ("x" * 1000, {"type": "int32"}, "'" + "x" * 100 + "…' is not a whole number"),
    ],
)
def test_a_reason_says_what_is_wrong_with_the_value(text: str, hints: dict[str, Any], reason: str) -> None:
    (found,) = converted(text, **hints)
    assert reason in found


@pytest.mark.parametrize(
    ("text", "hints", "value"),
    [
        ("00ff", {"type": "binary"}, b"\x00\xff"),
        ("AP8=", {"type": "binary", "binary_encoding": "base64"}, b"\x00\xff"),
        (' {"a": [1]} ', {"type": "json"}, '{"a": [1]}'),
        ("SRID=4326;POINT (1 2)", {"type": "geometry(4326)"}, shapely.to_wkb(shapely.Point(1, 2))),
        (" 12 ", {"type": "int32"}, 12),
        (" 12 ", {"type": "string"}, " 12 "),
        (" ", {"type": "int32"}, None),
        ("n/a", {"type": "int32", "null_words": ["n/a"]}, None),
        ("1969-12-31T23:59:59.999999Z", {"type": "timestamp"}, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        ("9999-12-31T23:59:59.999999Z", {"type": "timestamp"}, datetime.max.replace(tzinfo=UTC)),
        ("0001-01-01T00:00Z", {"type": "timestamp"}, datetime.min.replace(tzinfo=UTC)),
        ("23:59:59.999999", {"type": "time"}, time.max),
    ],
)
def test_a_value_is_what_its_text_says(text: str, hints: dict[str, Any], value: Any) -> None:
    assert converted(text, **hints) == value


@pytest.mark.parametrize(
    ("text", "ambiguous", "hour"),
    [
        ("2026-11-01 01:30", "earliest", 5),
        ("2026-11-01 01:30", "latest", 6),
        ("2026-11-01 00:59", "reject", 4),
        ("2026-11-01 02:00", "reject", 7),
        ("2026-03-08 01:59", "reject", 6),
        ("2026-03-08 03:00", "reject", 7),
        ("2060-07-01 12:00", "reject", 16),
    ],
)
def test_wall_times_around_the_changes_of_the_clocks(text: str, ambiguous: str, hour: int) -> None:
    found = converted(text, type="timestamp", time_zone="America/New_York", ambiguous=ambiguous)
    assert (found.hour, found.tzinfo) == (hour, found.tzinfo)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-08 02:30", "doesn't exist in America/New_York: clocks go forward over it"),
        ("2026-11-01 01:30", "occurs twice in America/New_York: clocks go back over it"),
    ],
)
def test_a_wall_time_that_is_no_one_instant_is_refused(text: str, reason: str) -> None:
    (found,) = converted(text, type="timestamp", time_zone="America/New_York")
    assert reason in found


@given(st.text(max_size=30))
def test_any_text_is_a_string_and_stays_as_it_is(text: str) -> None:
    assert converted(text, type="string") == text
