"""Parsed YAML, kept from one load of the definitions to the next: parsing is the slowest part of loading a feed.

The cache maps the SHA-256 of a file's text to its document, so that no change of a file or of its path can make it
stale. Documents are validated at each load. No component is known here.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VERSION = "1"
_DATE = "\0date"
_cache: ContextVar[Cache | None] = ContextVar("documents", default=None)


def parse(text: str) -> Any:
    """The one document in a YAML text, as `yaml.safe_load` returns it. Raises yaml.YAMLError."""
    cache = _cache.get()
    return _parse(text) if cache is None else cache.document(text)


@contextmanager
def cached_in(path: Path) -> Iterator[None]:
    """Within this block, `parse` looks texts up in the file first. At its end the file holds the texts that were parsed
    in the block. A file that can't be read or written is ignored."""
    cache = Cache(path)
    token = _cache.set(cache)
    try:
        yield
    finally:
        _cache.reset(token)
    cache.write()


class Cache:
    """The documents of one file, by the SHA-256 of their texts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Any] = {}
        self._used: dict[str, Any] = {}
        with suppress(OSError, ValueError, TypeError, LookupError):
            kept = json.loads(path.read_bytes(), object_hook=_decoded)
            if kept["version"] == _VERSION:
                self._kept = kept["documents"]

    def document(self, text: str) -> Any:
        """The document in a text. Callers must not change it. Raises yaml.YAMLError."""
        name = hashlib.sha256(text.encode()).hexdigest()
        if name not in self._used:
            self._used[name] = self._kept[name] if name in self._kept else _parse(text)
        return self._used[name]

    def write(self) -> None:
        """Replaces the file, unless it holds the same documents."""
        wanted = {name: each for name, each in self._used.items() if name in self._kept or _survives_json(each)}
        if wanted.keys() == self._kept.keys():
            return
        text = json.dumps({"version": _VERSION, "documents": wanted}, default=_encoded)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, scratch = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(scratch).replace(self._path)


def _survives_json(document: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(document, default=_encoded), object_hook=_decoded) == document)
    except (TypeError, ValueError):
        return False


def _encoded(value: Any) -> Any:
    if isinstance(value, date):  # datetime is a date
        return {_DATE: value.isoformat()}
    raise TypeError(f"{value!r} has no JSON form")


def _decoded(found: dict[str, Any]) -> Any:
    text = found.get(_DATE)
    if text is None:
        return found
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def _parse(text: str) -> Any:
    """`yaml.safe_load` in half the time: it makes the values that feeds mostly have itself."""
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node)
    finally:
        loader.dispose()


def _value(loader: Any, node: yaml.Node) -> Any:
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    if node.tag == "tag:yaml.org,2002:seq":
        return [_value(loader, item) for item in node.value]
    if node.tag == "tag:yaml.org,2002:map" and all(key.tag == "tag:yaml.org,2002:str" for key, _ in node.value):
        return {key.value: _value(loader, value) for key, value in node.value}
    return loader.construct_object(node, deep=True)  # numbers, dates, merged mappings, tagged values
