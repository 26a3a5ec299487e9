"""What clients bind to a statement's placeholders, as Python values, exactly.

The connector sends text with a type: `{"1": {"type": "FIXED", "value": "10"}}`, and lists of text for a batch.
See SnowflakeConverter in snowflake-connector-python for the encodings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Bindings:
    """The values of one execution, or `rows` of values for a batch."""

    params: tuple[Any, ...] | dict[str, Any] | None = None
    rows: list[tuple[Any, ...]] | None = None


def read_bindings(bindings: dict[str, Any] | None) -> Bindings:
    """Decode the `bindings` member of a query request."""
    if not bindings:
        return Bindings()
    if not all(k.isdigit() for k in bindings):
        return Bindings(params={name: _value(b, b["value"]) for name, b in bindings.items()})
    ordered = [bindings[str(position)] for position in range(1, len(bindings) + 1)]
    if any(isinstance(b["value"], list) for b in ordered):
        columns = [[_value(b, v) for v in b["value"]] for b in ordered]
        return Bindings(rows=list(zip(*columns, strict=True)))
    return Bindings(params=tuple(_value(b, b["value"]) for b in ordered))


def _instant(nanoseconds: str) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=int(nanoseconds) // 1000)


def _instant_with_offset(text: str) -> dt.datetime:
    nanoseconds, _, offset = text.partition(" ")
    zone = dt.timezone(dt.timedelta(minutes=int(offset or 1440) - 1440))
    return _instant(nanoseconds).astimezone(zone)


_READERS: dict[str, Callable[[str], Any]] = {
    "FIXED": lambda text: int(text) if text.lstrip("+-").isdigit() else Decimal(text),
    "REAL": float,
    "BOOLEAN": lambda text: text.lower() in ("true", "1"),
    "BINARY": bytes.fromhex,
    "DATE": lambda text: (_EPOCH + dt.timedelta(milliseconds=int(text))).date(),
    "TIME": lambda text: (_EPOCH + dt.timedelta(microseconds=int(text) // 1000)).time(),
    "TIMESTAMP_NTZ": lambda text: _instant(text).replace(tzinfo=None),
    "TIMESTAMP_LTZ": _instant,
    "TIMESTAMP_TZ": _instant_with_offset,
}


def _value(binding: dict[str, Any], text: str | None) -> Any:
    return None if text is None else _READERS.get(binding["type"], str)(text)
