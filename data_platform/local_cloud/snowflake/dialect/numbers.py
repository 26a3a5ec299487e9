"""Exact arithmetic on NUMBER where DuckDB computes in DOUBLE: division and AVG.

The scale of a quotient is max(s, min(s + 6, 12)) of the dividend's scale s
(https://docs.snowflake.com/en/sql-reference/operators-arithmetic#division). DESCRIBE tells the operands' types; where
it can't (a correlated subquery), the result stays a DOUBLE.
"""

from __future__ import annotations

import re

import duckdb
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN, call

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s?(\d+)\)")
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}

# u and v are unscaled whole numbers; the quotient is rounded half away from zero, as Snowflake does.
MACROS = f"""
CREATE OR REPLACE MACRO {MAIN}._dp_unscaled(x) AS replace(x::VARCHAR, '.', '')::HUGEINT;
CREATE OR REPLACE MACRO {MAIN}._dp_rounded(u, v) AS
    CASE WHEN v = 0 THEN error('Division by zero') ELSE
        ((abs(u) * 2 + abs(v)) // (abs(v) * 2)) * sign(u)::HUGEINT * sign(v)::HUGEINT END;
"""


def exact_quotients(connection: duckdb.DuckDBPyConnection, statement: Expr) -> Expr:
    """Rewrite the divisions and averages of a statement that DuckDB is about to run."""
    for select in reversed(list(statement.find_all(exp.Select))):
        tried: set[int] = set()
        while nodes := _own(select, tried):
            tried |= {id(node) for node in nodes}
            _make_exact(connection, select, nodes)
    return statement


def _make_exact(connection: duckdb.DuckDBPyConnection, select: exp.Select, nodes: list[Expr]) -> None:
    for node in nodes:
        kinds = _types(connection, select, [operand.copy() for operand in _operands(node)])
        exact = _exact(node, kinds) if kinds else None
        if exact is not None:
            node.replace(exact)


def _own(select: exp.Select, tried: set[int]) -> list[Expr]:
    """The divisions and averages of a SELECT itself that were not tried yet, not of the SELECTs inside it.

    Of nested ones only the innermost are taken: the outer ones' operands are not known before those are rewritten.
    """
    found = [
        node
        for node in select.find_all(exp.Div, exp.Avg)
        if id(node) not in tried
        and node.find_ancestor(exp.Select) is select
        and not isinstance(node.parent, exp.Window)
    ]
    return [n for n in found if not any(inner is not n and inner in found for inner in n.find_all(exp.Div, exp.Avg))]


def _operands(node: Expr) -> list[Expr]:
    return [node.this, node.expression] if isinstance(node, exp.Div) else [node.this]


def _types(connection: duckdb.DuckDBPyConnection, select: exp.Select, operands: list[Expr]) -> list[str] | None:
    probe = exp.Select(expressions=[exp.alias_(o, f"_o{i}") for i, o in enumerate(operands)])
    for part in ("from_", "joins", "laterals", "group"):
        if select.args.get(part):
            value = select.args[part]
            probe.set(part, [v.copy() for v in value] if isinstance(value, list) else value.copy())
    if not any(o.find(exp.AggFunc) for o in operands):
        probe.set("group", None)
    ancestor: Expr | None = select
    tables: list[Expr] = []
    while ancestor is not None:
        with_ = ancestor.args.get("with_")
        if with_:
            tables = [cte.copy() for cte in with_.expressions if not _inside(select, cte)] + tables
        ancestor = ancestor.parent
    if tables:
        probe.set("with_", exp.With(expressions=tables))
    try:
        rows = connection.execute(f"DESCRIBE {probe.sql(dialect='duckdb')}").fetchall()
    except duckdb.Error:
        return None
    return [str(row[1]) for row in rows]


def _inside(node: Expr, ancestor: Expr) -> bool:
    current: Expr | None = node
    while current is not None:
        if current is ancestor:
            return True
        current = current.parent
    return False


def _scale(kind: str) -> int | None:
    if kind in _INTEGERS:
        return 0
    match = _DECIMAL.fullmatch(kind)
    return int(match[2]) if match else None


def _exact(node: Expr, kinds: list[str]) -> Expr | None:
    scales = [_scale(kind) for kind in kinds]
    if scales[0] is None or None in scales:
        return None
    first = scales[0]
    result = max(first, min(first + 6, 12))
    if isinstance(node, exp.Avg):
        dividend: Expr = call("_dp_unscaled", exp.Sum(this=node.this.copy()))
        count = exp.Count(this=node.this.copy())
        divisor: Expr = exp.Nullif(this=count, expression=exp.Literal.number(0))
        shift = result - first
    else:
        dividend = call("_dp_unscaled", node.this.copy())
        divisor = call("_dp_unscaled", node.expression.copy())
        shift = (scales[1] or 0) - first + result
    power = exp.cast(exp.Literal.number("1" + "0" * shift), "HUGEINT")
    whole = call("_dp_rounded", exp.Mul(this=dividend, expression=power), divisor)
    unit = exp.cast(exp.Literal.string("0." + "0" * (result - 1) + "1"), f"DECIMAL({result},{result})")
    return exp.paren(exp.Mul(this=exp.cast(whole, f"DECIMAL({38 - result},0)"), expression=unit))
