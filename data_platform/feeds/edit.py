"""Changes the YAML of a source's tables in place: comments, order and spacing of everything else stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from data_platform.feeds.documents import Document
from data_platform.feeds.tables import TableSpec


class Lines(NamedTuple):
    """A file's lines, from the first to the last, counted from 1."""

    first: int
    last: int


def replace_text(file: Path, text: str) -> None:
    """Puts a text in the place of a file's at once: nobody reads half of it."""
    aside = file.with_name(f".{file.name}.new")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def with_table_renamed(document: Document, feed: TableSpec, to: str) -> str:
    """The text, with another name for the table. Without a `from`, it gets one: the table keeps its name in its system.
    Raises DefinitionInvalid if the file can't be changed so."""
    table = _table(document, feed.table)
    key, value = next((key, value) for key, value in table.value if key.value == "table")
    text = document.text
    name = to
    if feed.from_ is None:
        apart = ", " if table.flow_style else f"\n{' ' * key.start_mark.column}"
        name = f"{to}{apart}from: {feed.table}"
    return f"{text[: value.start_mark.index]}{name}{text[value.end_mark.index :]}"


def lines_of_table(document: Document, table: str) -> Lines:
    """The lines that declare a table, with the comment above them. Raises DefinitionInvalid if they declare something
    else too."""
    items = _tables(document).value
    place = next(number for number, item in enumerate(items) if _name(item) == table)
    lines = document.text.splitlines()
    first, last = _start(items[place]), _end(items[place])
    before = max((_end(item) for item in items[:place]), default=-1)
    alone = lines[first].lstrip().startswith("- ") and first > before
    after = min((_start(item) for item in items[place + 1 :]), default=len(lines))
    if not alone or last >= after:
        raise document.mistake(
            ("attributes", "tables", place), f"expected the table {table} on lines of its own; remove it by hand"
        )
    while first - 1 > before and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    while last + 1 < after and last + 1 < len(lines) and not lines[last + 1].strip():
        last += 1
    return Lines(first + 1, last + 1)


def without_lines(text: str, gone: Lines) -> str:
    """The text without these lines, nor blank ones at its end."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: gone.first - 1], *lines[gone.last :]]).rstrip() + "\n"


def _table(document: Document, name: str) -> yaml.MappingNode:
    found: yaml.MappingNode = next(item for item in _tables(document).value if _name(item) == name)
    return found


def _tables(document: Document) -> yaml.SequenceNode:
    node: Any = yaml.compose(document.text, Loader=yaml.SafeLoader)
    for part in ("attributes", "tables"):
        node = next(value for key, value in node.value if key.value == part)
    assert isinstance(node, yaml.SequenceNode)  # noqa: S101 - the document was validated
    return node


def _name(item: yaml.MappingNode) -> str | None:
    return next((value.value for key, value in item.value if key.value == "table"), None)


def _start(node: yaml.Node) -> int:
    return int(node.start_mark.line)


def _end(node: yaml.Node) -> int:
    """The line of the node's last character: a block's own mark lies where the next one begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        parts: Sequence[Any] = [
            part for entry in node.value for part in (entry if isinstance(entry, tuple) else [entry])
        ]
        return max((_end(part) for part in parts), default=_start(node))
    end = node.end_mark
    block_text = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return int(end.line) - 1 if block_text and end.column == 0 else int(end.line)
