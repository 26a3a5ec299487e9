"""Validates one `defs.yaml` against its component's schema, and gives the place of each mistake.

`SftpPartner` reads its feeds through it, and `data-platform check` every file: `dg check yaml` validates only the last
file of each component type, and only the rules that a JSON schema can express.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import yaml
from pydantic import BaseModel, ValidationError

from data_platform.components.documents import Loader, parse

Model = TypeVar("Model", bound=BaseModel)


class DefinitionInvalid(Exception):
    """A `defs.yaml` is wrong; the message gives file, line, column, the line with a caret, and what was expected."""


def load_attributes(path: Path, model: type[Model]) -> Model:
    """The attributes of a `defs.yaml`, validated as `model`. The file holds one document. Raises DefinitionInvalid."""
    text = path.read_text(encoding="utf-8")
    try:
        document = parse(text)
    except yaml.YAMLError as error:
        raise DefinitionInvalid(_syntax(path, text, error)) from None
    attributes = document.get("attributes", {}) if isinstance(document, dict) else None
    try:
        return model.model_validate(attributes)
    except ValidationError as error:
        raise DefinitionInvalid(_explain(path, text, error, model)) from None


def component_files(root: Path) -> list[Path]:
    """Every `defs.yaml` below a folder, in order."""
    return sorted(root.rglob("defs.yaml"))


def check_files(paths: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """(file, None) for each valid file, (file, message) for each invalid one."""
    for path in paths:
        try:
            load_attributes(path, _model_of(path))
        except DefinitionInvalid as error:
            yield path, str(error)
        else:
            yield path, None


def _model_of(path: Path) -> type[BaseModel]:
    text = path.read_text(encoding="utf-8")
    try:
        document = parse(text)
    except yaml.YAMLError as error:
        raise DefinitionInvalid(_syntax(path, text, error)) from None
    name = document.get("type") if isinstance(document, dict) else None
    if not isinstance(name, str) or "." not in name:
        raise DefinitionInvalid(f"{path}:1:1: expected `type: data_platform.components.<Component>` and `attributes:`")
    module, _, attribute = name.rpartition(".")
    try:
        component = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise DefinitionInvalid(_at(path, text, _mark(text, ("type",)), f"component {name} doesn't exist")) from None
    if not (isinstance(component, type) and issubclass(component, dg.Component)):
        raise DefinitionInvalid(_at(path, text, _mark(text, ("type",)), f"{name} is not a component"))
    return component.get_model_cls() or BaseModel


def _explain(path: Path, text: str, error: ValidationError, model: type[BaseModel]) -> str:
    problems = []
    for item in error.errors():
        loc = ("attributes", *item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"unknown field {item['loc'][-1]!r}{_nearest(str(item['loc'][-1]), model)}"
        elif item["type"] == "missing":
            message = f"field {item['loc'][-1]!r} is missing"
        where = ".".join(str(part) for part in item["loc"])
        problems.append(_at(path, text, _mark(text, loc), f"{where}: {message}" if where else message))
    return "\n".join(problems)


def _nearest(name: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _mark(text: str, loc: Sequence[Any]) -> tuple[int, int]:
    """(line, column), from 0, of `loc`, or of its nearest parent that the file has."""
    node = yaml.compose(text, Loader=Loader)
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


def _syntax(path: Path, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    position = (mark.line, mark.column) if mark else (0, 0)
    return _at(path, text, position, f"not YAML: {getattr(error, 'problem', error)}")


def _at(path: Path, text: str, position: tuple[int, int], message: str) -> str:
    line, column = position
    lines = text.splitlines() or [""]
    source = lines[min(line, len(lines) - 1)]
    return f"{path}:{line + 1}:{column + 1}: {message}\n    {source}\n    {' ' * column}^"
