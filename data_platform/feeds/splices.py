"""Replaces parts of a YAML text and leaves every other character as it is: comments, order, spacing, quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./' -]*[A-Za-z0-9_.']|[A-Za-z_]")
_NOT_PRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, str):
        text = " ".join(value.split())
        if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
            return text
        quoted = json.dumps(text, ensure_ascii=False)
        return _NOT_PRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def first_place(node: yaml.Node) -> int:
    """The index of the node's first character."""
    return int(node.start_mark.index)


def last_place(node: yaml.Node) -> int:
    """The index behind the node's last character: a block's own mark lies where the next one begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return max((last_place(part) for part in parts), default=first_place(node))
    return int(node.end_mark.index)


def entry_of(mapping: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A mapping's key and value."""
    return next(((name, value) for name, value in mapping.value if name.value == key), None)


class Splices:
    """Parts of a text to be replaced."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def result(self) -> str:
        """The text with every part replaced."""
        text = self._text
        ordered = sorted(((first, last, at) for at, (first, last, _) in enumerate(self._parts)), reverse=True)
        for first, last, at in ordered:
            text = text[:first] + self._parts[at][2] + text[last:]
        return text

    def put(self, first: int, last: int, replacement: str) -> None:
        """Replaces what lies between two indices. What is put first at a place comes first there."""
        self._parts.append((first, last, replacement))

    def set(self, mapping: yaml.MappingNode, key: str, value: Any, *, after: str | None) -> None:
        """Gives a mapping's key a value. A new key comes behind the key `after`, which the mapping has; None: first."""
        existing = entry_of(mapping, key)
        if existing is not None:
            self.put(first_place(existing[1]), last_place(existing[1]), written(value))
            return
        entry = f"{key}: {written(value)}"
        neighbour = mapping.value[0] if after is None else entry_of(mapping, after)
        assert neighbour is not None  # noqa: S101 - the document was validated
        apart = ", " if mapping.flow_style else f"\n{' ' * neighbour[0].start_mark.column}"
        if after is None:
            self.put(first_place(neighbour[0]), first_place(neighbour[0]), entry + apart)
            return
        place = last_place(neighbour[1])
        if not mapping.flow_style:
            place = self._line_end(place)
        self.put(place, place, apart + entry)

    def append(self, items: yaml.SequenceNode, indent: int, lines: Sequence[str], *, apart: str = "") -> None:
        """Adds an item to a sequence: its lines, of which the first begins with `- `. `indent`: that of a sequence that
        has no items yet. `apart`: what comes before it where there are any."""
        if not items.value:
            before = self._text[: first_place(items)].rstrip(" ")
            self.put(len(before), int(items.end_mark.index), "".join(_indented(line, indent) for line in lines))
        elif items.flow_style:
            place = last_place(items.value[-1])
            self.put(place, place, ", " + lines[-1].removeprefix("- "))
        else:
            place = self._line_end(last_place(items))
            indent = items.start_mark.column
            self.put(place, place, apart + "".join(_indented(line, indent) for line in lines))

    def remove(self, items: yaml.SequenceNode, item: yaml.Node) -> None:
        """Takes an item out of a sequence; of a block, with its whole lines and the comment above."""
        at = items.value.index(item)
        if items.flow_style:
            if at:
                self.put(last_place(items.value[at - 1]), last_place(item), "")
            elif len(items.value) > 1:
                self.put(first_place(item), first_place(items.value[1]), "")
            return
        first = self._text.rfind("\n", 0, first_place(item)) + 1
        while (above := self._text.rfind("\n", 0, max(first - 1, 0)) + 1) < first and self._text[
            above:first
        ].lstrip().startswith("#"):
            first = above
        self.put(first, min(self._line_end(last_place(item)) + 1, len(self._text)), "")

    def _line_end(self, place: int) -> int:
        end = self._text.find("\n", max(place - 1, 0))
        return len(self._text) if end < 0 else end


def _indented(line: str, indent: int) -> str:
    return f"\n{' ' * indent}{line}" if line else "\n"
