"""What clients bind to a statement's placeholders, as Python values.

The connector sends text with a type: `{"1": {"type": "FIXED", "value": "10"}}`, and lists of text for a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fakesnow.converter import from_binding


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


def _value(binding: dict[str, Any], text: Any) -> Any:
    return None if text is None else from_binding({"type": binding["type"], "value": text})
