"""What is wrong with a value of a `defs.yaml`, in plain words: pydantic's own are about Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SECRETS = frozenset(("api_key", "password", "secret", "token"))
"""Names of fields that somebody might look for."""


def explained(error: Any, model: type[BaseModel]) -> str:
    """One of a ValidationError's errors: what was found, and what is expected. `model`: what was validated."""
    field, models, siblings = _place(model, error["loc"])
    name, found = error["loc"][-1] if error["loc"] else "", error.get("input")
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(name), siblings, n=1)
            if name in SECRETS:
                return (
                    f"unknown field {name!r}. A secret is never in YAML: `data-platform secrets check` says where it is"
                )
            return f"unknown field {name!r}; " + (
                f"did you mean {near[0]!r}?" if near else f"expected {', '.join(siblings)}"
            )
        case "missing":
            return f"field {name!r} is missing"
        case "string_pattern_mismatch":
            examples = field.examples if field else None
            expected = f"for example {' or '.join(map(str, examples))}" if examples else error["ctx"]["pattern"]
            return f"{_quoted(found)} is not right here; expected text like this: {expected}"
        case "string_type":
            return f"expected text, and {found!r} is none; put it in quotes if it is meant as text"
        case "tuple_type" | "list_type":
            return "expected a list, such as [first, second]"
        case "model_type" | "model_attributes_type" | "dict_type":
            fields = ", ".join(f"{each}: ..." for each in models)
            return f"expected {{{fields}}}" if fields else "expected names with their values"
        case "union_tag_not_found" | "union_tag_invalid":
            expected = error["ctx"].get("expected_tags", "its field's documentation says which")
            return f"expected {{{error['ctx']['discriminator'].strip(chr(39))}: ...}}, one of {expected}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return str(error["msg"]).replace("Input should be", f"{found!r} is out of range; expected a number")
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _quoted(found: Any) -> str:
    """The value, unless it may be a URL with a password."""
    return "a URL" if "://" in str(found) else repr(found)


def _place(model: type[BaseModel], loc: Sequence[Any]) -> tuple[FieldInfo | None, dict[str, FieldInfo], list[str]]:
    """The field that a place leads to, the fields that its value may have, and those beside it."""
    field, within, beside = None, _fields([model]), list(_fields([model]))
    for part in loc:
        beside = list(within)
        if part in within:
            field = within[part]
            within = _fields(_models(field.annotation))
    return field, within, beside


def _fields(models: Iterator[type[BaseModel]] | Sequence[type[BaseModel]]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for model in models for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of a type may be, or that it has as items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
