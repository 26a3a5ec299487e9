"""Values that a source writes as JSON (JSON Lines, web APIs), to the contract's types."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.rejects import Converted
from data_platform.values.typed import NumberText, mixed_converter_for


def json_converter_for(column: FileColumn) -> Callable[[Sequence[Any]], Converted]:
    """What converts parsed JSON values, numbers among them as NumberText. An object or array is a reject, but in a
    column of type json."""
    convert = mixed_converter_for(column)
    if column.logical.name == "json":
        return lambda values: convert([None if value is None else written(value) for value in values])

    def scalars(values: Sequence[Any]) -> Converted:
        nested = {row for row, value in enumerate(values) if isinstance(value, dict | list)}
        converted = convert([None if row in nested else value for row, value in enumerate(values)])
        told = dict.fromkeys(nested, f"is an object or an array, not {column.type}")
        return Converted(converted.array, {**converted.bad, **told})

    return scalars


def written(value: Any, *, ascii: bool = False) -> str:
    """A JSON value as text, its numbers as they were written. `ascii`: other characters are escaped, so that half a
    character is text too."""
    if isinstance(value, dict):
        members = (f"{json.dumps(k, ensure_ascii=ascii)}:{written(v, ascii=ascii)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(each, ascii=ascii) for each in value) + "]"
    return str(value) if isinstance(value, NumberText) else json.dumps(value, ensure_ascii=ascii)
