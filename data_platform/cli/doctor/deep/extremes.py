"""The extreme values of every column type, as they go into Parquet, and how to compare them exactly."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def _of_integer(bits: int) -> list[int]:
    return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0]


def _of_decimal(precision: int, scale: int) -> list[Decimal]:
    largest = 10**precision - 1
    return [Decimal(f"{digits}E-{scale}") for digits in (largest, -largest, 0, 1)]


def point(x: float, y: float) -> bytes:
    """A point as WKB."""
    return struct.pack("<BIdd", 1, 1, x, y)


EXTREMES: Mapping[str, Sequence[Any]] = {
    "string": ["", " ", "NULL", "null", "\\N", 'it\'s \\ "quoted"\n\t', "ß\U0001f6b0" * 50, "x" * 2_000],
    "int8": _of_integer(8),
    "int16": _of_integer(16),
    "int32": _of_integer(32),
    "int64": _of_integer(64),
    "decimal(38,0)": _of_decimal(38, 0),
    "decimal(38,10)": _of_decimal(38, 10),
    "decimal(38,38)": _of_decimal(38, 38),
    "decimal(12,3)": _of_decimal(12, 3),
    "decimal(1,1)": _of_decimal(1, 1),
    "float": [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf],
    "boolean": [True, False],
    "date": [date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 10), date(1970, 1, 1)],
    "timestamp": [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1),
        datetime(2026, 3, 8, 7, 0, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, 0, 1, tzinfo=UTC),
    ],
    "time": [time(0), time(23, 59, 59, 999_999), time(12, 0, 0, 1)],
    "json": ["{}", "[]", '"text"', "0", "null", '{"a": {"b": [1, null, "\\u00df"]}}', '{"big": 9007199254740993}'],
    "binary": [b"", b"\x00", bytes(range(256)), b"\xff" * 10_000],
    "geometry(4326)": [point(-73.98, 40.75), point(0.1 + 0.2, -0.0), point(180, 90)],
}
"""{column type: its extreme values}"""


def comparable(kind: str) -> Callable[[Any], Any]:
    """A value in a form in which equal means the same, to the last digit."""
    if kind == "json":
        return lambda text: json.dumps(json.loads(text), sort_keys=True)
    if kind == "float":
        return lambda number: "nan" if math.isnan(number) else struct.pack("<d", number)
    if kind == "timestamp":
        return lambda instant: instant.astimezone(UTC)
    if kind == "binary" or kind.startswith("geometry"):
        return bytes
    if kind.startswith("decimal"):
        return Decimal
    return lambda value: value
