"""ALTER TABLE's trees: one action at a time, and which changes of a type Snowflake allows. `engine.alter` runs them."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import Expr, exp

_MULTIPLE = re.compile(
    r"^\s*(TABLE|VIEW)\s+(IF\s+EXISTS\s+)?(\S+)\s+(?:ALTER|MODIFY)\s+(?:COLUMN\s+)?(.*)$", re.I | re.S
)


def split_alter_command(expression: Expr) -> list[Expr]:
    """`ALTER TABLE t ALTER a …, b …`, which sqlglot keeps as text, as one tree per column."""
    if not isinstance(expression, exp.Command) or str(expression.this).upper() != "ALTER":
        return [expression]
    text = str(expression.expression or "")
    if not (match := _MULTIPLE.match(text)):
        return [expression]
    kind, _, table, rest = match.groups()
    actions, depth, start = [], 0, 0
    tokens = sqlglot.tokenize(rest, read="snowflake")
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            actions.append(rest[start : token.start])
            start = token.end + 1
    actions.append(rest[start:].rstrip().rstrip(";"))
    cleaned = (re.sub(r"^\s*(?:ALTER|MODIFY)?\s*(?:COLUMN\s+)?", "", a, flags=re.I) for a in actions)
    parsed: list[Expr] = []
    for action in cleaned:
        if comment := re.fullmatch(r"(\S+)\s+COMMENT\s+(.*)", action.strip(), re.I | re.S):
            text = sqlglot.parse_one(comment[2], read="snowflake").name
            parsed.append(_comment_on_column(f"{table}.{comment[1]}", text))
        else:
            parsed.append(sqlglot.parse_one(f"ALTER {kind} {table} ALTER COLUMN {action}", read="snowflake"))
    return parsed


def _comment_on_column(column: str, text: str) -> exp.Comment:
    return exp.Comment(
        this=exp.to_column(column, dialect="snowflake"), kind="COLUMN", expression=exp.Literal.string(text)
    )


def is_widening(old: str, new: str) -> bool:
    """Whether every value of DuckDB's type `old` is one of `new` without a change, and Snowflake allows it in place."""
    if old == new:
        return True
    integers = {"TINYINT": (3, 0), "SMALLINT": (5, 0), "INTEGER": (10, 0), "BIGINT": (38, 0), "HUGEINT": (38, 0)}

    def number(name: str) -> tuple[int, int] | None:
        match = re.fullmatch(r"DECIMAL\((\d+),\s?(\d+)\)", name)
        return (int(match[1]), int(match[2])) if match else integers.get(name)

    before, after = number(old), number(new)
    # Snowflake raises a NUMBER's precision in place, and never changes its scale.
    return before is not None and after is not None and after[1] == before[1] and after[0] >= before[0]


def as_column(node: Expr) -> exp.Column:
    return node.copy() if isinstance(node, exp.Column) else exp.Column(this=node.copy())


def qualified_like(table: exp.Table, model: exp.Table) -> exp.Table:
    """`table` with the schema and database of `model` where it names none."""
    table = table.copy()
    for part in ("db", "catalog"):
        if not table.args.get(part) and model.args.get(part):
            table.set(part, model.args[part].copy())
    return table
