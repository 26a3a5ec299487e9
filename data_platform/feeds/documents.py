"""Reads the YAML of `defs/`, and gives the place of each mistake. No component or feed is known here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data_platform.feeds.mistakes import SECRETS, explained

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECRET = re.compile(rf"PRIVATE|://[^/\s]*@|\b({'|'.join(sorted(SECRETS))})\s*:")
"""A line that may have somebody's private key, a URL's password, or a token."""
Model = TypeVar("Model", bound=BaseModel)


class DefinitionInvalid(Exception):
    """A `defs.yaml` is wrong; the message gives file, line, column, the line with a caret, and what was expected."""


@dataclass(frozen=True)
class Document:
    """The one document of a YAML file: its text, and its values as `yaml.safe_load` returns them."""

    path: Path
    text: str
    values: Any

    @classmethod
    def read(cls, path: Path) -> Document:
        """Reads a file. Raises DefinitionInvalid if it isn't YAML."""
        text = path.read_text(encoding="utf-8")
        try:
            return cls(path, text, parse(text))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            position = (mark.line, mark.column) if mark else (0, 0)
            raise DefinitionInvalid(
                _shown(path, text, position, f"not YAML: {getattr(error, 'problem', error)}")
            ) from None

    @property
    def component(self) -> str:
        """The component's dotted name, which the document gives as its `type`. Raises DefinitionInvalid."""
        name = self.values.get("type") if isinstance(self.values, dict) else None
        if not isinstance(name, str) or "." not in name:
            raise DefinitionInvalid(
                f"{self.path}:1:1: expected `type: data_platform.components.<Component>` and `attributes:`"
            )
        return name

    def model(self) -> type[BaseModel]:
        """The schema of the component's attributes. Imports the component. Raises DefinitionInvalid."""
        module, _, attribute = self.component.rpartition(".")
        try:
            component = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            raise self.mistake(("type",), f"component {self.component} doesn't exist") from None
        if not hasattr(component, "get_model_cls"):
            raise self.mistake(("type",), f"{self.component} is not a component")
        return component.get_model_cls() or BaseModel

    def attributes(self, model: type[Model]) -> Model:
        """The document's `attributes`, validated as `model`. Raises DefinitionInvalid."""
        try:
            return model.model_validate(self.values.get("attributes", {}) if isinstance(self.values, dict) else None)
        except ValidationError as error:
            raise DefinitionInvalid("\n".join(self._explain(item, model) for item in error.errors())) from None

    def mistake(self, loc: Sequence[Any], message: str) -> DefinitionInvalid:
        """An error that shows the place of `loc`, or of its nearest parent in the file."""
        return DefinitionInvalid(_shown(self.path, self.text, self._place(loc), message))

    def _explain(self, item: Any, model: type[BaseModel]) -> str:
        message = explained(item, model)
        where = ".".join(self._names(item["loc"]))
        return str(self.mistake(("attributes", *item["loc"]), f"{where}: {message}" if where else message))

    def _names(self, loc: Sequence[Any]) -> Iterator[str]:
        """The parts of a place; an item that has a name by its name: tables.permits, and not tables.0."""
        value = self.values.get("attributes")
        for part in loc:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                value = None  # a union's tag, or a missing field
            named = value if isinstance(part, int) and isinstance(value, dict) else {}
            yield str(named.get("table") or named.get("name") or part)

    def _place(self, loc: Sequence[Any]) -> tuple[int, int]:
        """(line, column), from 0."""
        node = yaml.compose(self.text, Loader=_LOADER)
        mark = node.start_mark if node else None
        for part in loc:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
                if pair is None:
                    continue  # a union's tag or a missing field: stay at the parent
                mark, node = pair[0].start_mark, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
        return (mark.line, mark.column) if mark else (0, 0)


def parse(text: str) -> Any:
    """The one document in a YAML text, as `yaml.safe_load` returns it. It takes half the time, because it builds the
    kinds of values that feeds mostly have itself. Raises yaml.YAMLError, also for a key that a mapping has twice, of
    which `safe_load` would take the last."""
    loader = _LOADER(text)
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
        made = {key.value: _value(loader, value) for key, value in node.value}
        if len(made) < len(node.value):
            raise _twice(node)
        return made
    return loader.construct_object(node, deep=True)  # numbers, dates, merged mappings, tagged values


def _twice(node: yaml.Node) -> yaml.YAMLError:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if (line := first.setdefault(key.value, key.start_mark.line)) != key.start_mark.line:
            break
    told = f"the key {key.value!r} comes twice; the other one is in line {line + 1}"
    return yaml.MarkedYAMLError(problem=told, problem_mark=key.start_mark)


def _shown(path: Path, text: str, position: tuple[int, int], message: str) -> str:
    line, column = position
    lines = text.splitlines() or [""]
    source = lines[min(line, len(lines) - 1)]
    if _SECRET.search(source):
        source = "..."
    return f"{path}:{line + 1}:{column + 1}: {message}\n    {source}\n    {' ' * column}^"
