"""Snowflake's types as DuckDB's, without losing a digit.

Whole numbers declared as INT and the like are 64 bits here; NUMBER(p, s) keeps its precision up to 38.
"""

from __future__ import annotations

from sqlglot import Expr, exp

_T = exp.DataType.Type
_INTEGERS = {_T.INT, _T.SMALLINT, _T.TINYINT, _T.BIGINT}
_DECIMALS = {_T.DECIMAL, _T.BIGDECIMAL}
_NO_PARAMETERS = {
    _T.TIMESTAMPTZ, _T.TIMESTAMPLTZ, _T.TIMESTAMP, _T.TIMESTAMPNTZ, _T.TIME, _T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR,
    _T.NVARCHAR, _T.BINARY, _T.VARBINARY, _T.DOUBLE, _T.FLOAT,
}  # fmt: skip


def column_types(node: Expr) -> Expr:
    """NUMBER without precision is NUMBER(38, 0), INT is 64 bits, TIMESTAMP_LTZ is an instant."""
    if not isinstance(node, exp.DataType):
        return node
    if node.this in _DECIMALS:
        given = [p.sql() for p in node.expressions]
        precision, scale = (given + ["38", "0"][len(given) :])[:2]
        return exp.DataType.build(f"DECIMAL({precision}, {scale})")
    if node.this in _INTEGERS:
        return exp.DataType(this=_T.BIGINT, nested=False)
    if node.this is _T.TIMESTAMPLTZ:
        return exp.DataType(this=_T.TIMESTAMPTZ, nested=False)
    return node


def parameterless_types(node: Expr) -> Expr:
    """DuckDB keeps microseconds and text of any length, and takes no parameter for either."""
    if isinstance(node, exp.DataType) and node.this in _NO_PARAMETERS and node.expressions:
        node.set("expressions", None)
    return node
