"""What a rule is. A rule says what one value's text may be and what it means; each type has one, in this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[[str], Any]
SHOWN = 100


class BadValue(ValueError):
    """A text that the column's rule refuses; the message says why, quoting at most 100 characters of it."""


def shown(text: str) -> str:
    """The value as a reason quotes it."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
