"""Text literals that DuckDB spells differently."""

from __future__ import annotations

import re

from sqlglot import Expr, exp

_SPACED_OFFSET = re.compile(r"^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) +([+-]\d\d:?(?:\d\d)?|Z)$")


def without_spaced_offset(text: str) -> str:
    """`2026-01-01 10:00:00 +01:00` as DuckDB reads it: without the space."""
    match = _SPACED_OFFSET.match(text)
    return match[1] + match[2] if match else text


def compared_timestamps(node: Expr) -> Expr:
    """A timestamp literal in a comparison."""
    if is_text(node) and isinstance(node.parent, exp.Predicate):
        if isinstance(node.parent.parent, exp.Update):
            return node  # an assignment, whose column may be text
        text = without_spaced_offset(node.name)
        return node if text == node.name else exp.Literal.string(text)
    return node


def fit_literal(value: Expr, kind: str) -> None:
    """Spell a text literal as DuckDB reads it for a column of its type `kind`."""
    if is_text(value):
        if kind.startswith("TIMESTAMP"):
            value.set("this", without_spaced_offset(value.name))
        elif kind == "BLOB":
            value.replace(exp.Anonymous(this="from_hex", expressions=[value.copy()]))


def is_text(value: Expr) -> bool:
    return isinstance(value, exp.Literal) and bool(value.is_string)
