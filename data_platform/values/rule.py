"""The type of a rule: it converts one value's text, or refuses it. Each type has one, in this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[[str], Any]
SHOWN = 100


class BadValue(ValueError):
    """A text that the column's rule refuses; the message says why, quoting at most 100 characters of it."""


def shown(text: str) -> str:
    """The value as reasons quote it."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
