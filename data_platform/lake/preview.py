"""A few rows of extracts as Markdown, for people to look at in the UI."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from data_platform.lake.shown import as_markdown

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake
    from data_platform.lake.manifest import Manifest

_CELL = 60


def preview(lake: Lake, manifests: Sequence[Manifest], *, limit: int, hidden: Set[str] = frozenset()) -> str:
    """A Markdown table of the first rows, at most `limit`, of the last of these extracts that has any. Reads one of its
    files. Shows no values of the columns `hidden`."""
    filled = [manifest for manifest in manifests if manifest.rows]
    if not filled:
        return "No rows."
    found = lake.read_rows(filled[-1], limit=limit)
    lines = [found.column_names, ["---"] * found.num_columns]
    lines += [["•••" if name in hidden else _cell(value) for name, value in row.items()] for row in found.to_pylist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value.hex() if isinstance(value, bytes | bytearray) else str(value)
    return as_markdown(text if len(text) <= _CELL else text[:_CELL] + "…")
