"""Values on their way into columns: literals that DuckDB spells differently, and many rows as one Arrow table.

A multi-row INSERT with thousands of tuples, and an array binding, are one DuckDB statement each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.literals import fit_literal
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import physical_name

_MANY = 25


def column_kinds(session: Session, table: exp.Table, names: Sequence[str]) -> list[str]:
    """DuckDB's types of a table's columns: those named, or all in order."""
    where = physical_name(session, table)
    found = session.duck.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ?"
        " AND table_name = ? ORDER BY column_index",
        where,
    ).fetchall()
    by_name = {str(name): str(kind) for name, kind in found}
    return [by_name.get(name, "") for name in names] if names else list(by_name.values())


def _target(insert: exp.Insert) -> tuple[exp.Table | None, list[str]]:
    schema = insert.this
    if isinstance(schema, exp.Schema):
        names = [c.name if c.args.get("quoted") else c.name.upper() for c in schema.expressions]
        return schema.this if isinstance(schema.this, exp.Table) else None, names
    return schema if isinstance(schema, exp.Table) else None, []


def fitted_literals(session: Session, statement: Expr) -> Expr:
    """Fit the text literals that an INSERT or UPDATE puts into timestamp and binary columns."""
    if isinstance(statement, exp.Insert):
        table, names = _target(statement)
        rows = _rows(statement)
        if table is None or not rows:
            return statement
        kinds = column_kinds(session, table, names)
        for row in rows:
            for value, kind in zip(row, kinds, strict=False):
                fit_literal(value, kind)
    elif isinstance(statement, exp.Update) and isinstance(statement.this, exp.Table):
        assignments = [
            e for e in statement.expressions if isinstance(e, exp.EQ) and isinstance(e.expression, exp.Literal)
        ]
        if assignments:
            names = [e.this.name if e.this.this.args.get("quoted") else e.this.name.upper() for e in assignments]
            for assignment, kind in zip(assignments, column_kinds(session, statement.this, names), strict=True):
                fit_literal(assignment.expression, kind)
    return statement


def _rows(insert: exp.Insert) -> list[list[Expr]]:
    source = insert.expression
    if isinstance(source, exp.Values):
        return [list(t.expressions) if isinstance(t, exp.Tuple) else [t] for t in source.expressions]
    if isinstance(source, exp.Select):
        return [[p.unalias() for p in source.expressions]]
    return []


def insert_many_literals(session: Session, insert: exp.Insert) -> int | None:
    """Run an INSERT of many tuples of literals as one Arrow insert. Returns the rows, or None if it is not one."""
    values = insert.expression
    table, names = _target(insert)
    if (
        not isinstance(values, exp.Values)
        or table is None
        or len(values.expressions) < _MANY
        or insert.args.get("overwrite")
    ):
        return None
    rows = []
    for row in _rows(insert):
        texts = [_text(value) for value in row]
        if None in texts:
            return None
        rows.append([text[0] for text in texts if text is not None])
    kinds = column_kinds(session, table, names)
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(rows[0]))]
    projections = [_read(f"c{i}", kind) for i, kind in zip(range(len(columns)), kinds, strict=False)]
    return _insert(session, table, names, columns, ", ".join(projections))


def insert_bound_rows(session: Session, insert: exp.Insert, rows: Sequence[Sequence[Any]]) -> int | None:
    """Run an INSERT with an array binding as one statement. Returns the rows, or None if it is not of that kind.

    `insert` is transformed already; its placeholders become columns of the bound rows.
    """
    source = insert.expression
    if isinstance(source, exp.Values) and len(source.expressions) == 1:
        source = exp.Select(expressions=[p.copy() for p in source.expressions[0].expressions])
    elif not isinstance(source, exp.Select) or source.args.get("from_"):
        return None
    insert = insert.copy()
    source = source.copy()
    for number, placeholder in enumerate(list(source.find_all(exp.Placeholder, bfs=False))):
        placeholder.replace(exp.column(f"c{number}", table="_rows"))
    columns = [_bound_column([row[i] for row in rows]) for i in range(len(rows[0]))]
    insert.set("expression", source.from_("_rows"))
    with_rows = pa.table(list(columns), names=[f"c{i}" for i in range(len(columns))])
    session.duck.register("_rows", with_rows)
    try:
        return int(session.duck.execute(insert.sql(dialect="duckdb")).fetchall()[0][0])
    finally:
        session.duck.unregister("_rows")


def _bound_column(values: list[Any]) -> pa.Array[Any]:
    try:
        array: pa.Array[Any] = pa.array(values)
        return array
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _insert(
    session: Session, table: exp.Table, names: Sequence[str], columns: Sequence[pa.Array[Any]], projection: str
) -> int:
    where = ".".join(exp.to_identifier(part, quoted=True).sql("duckdb") for part in physical_name(session, table))
    into = "(" + ", ".join(exp.to_identifier(n, quoted=True).sql("duckdb") for n in names) + ")" if names else ""
    session.duck.register("_rows", pa.table(list(columns), names=[f"c{i}" for i in range(len(columns))]))
    try:
        return int(session.duck.execute(f"INSERT INTO {where} {into} SELECT {projection} FROM _rows").fetchall()[0][0])
    finally:
        session.duck.unregister("_rows")


def _read(column: str, kind: str) -> str:
    if kind == "BLOB":
        return f"from_hex({column})"
    if kind.startswith("TIMESTAMP"):
        return f"regexp_replace({column}, '(\\d) +([+-]\\d|Z$)', '\\1\\2')"
    return column


def _text(value: Expr) -> tuple[str | None] | None:
    """A literal's text (None for NULL) in a 1-tuple, or None for any other expression."""
    if isinstance(value, exp.Null):
        return (None,)
    if isinstance(value, exp.Boolean):
        return ("true" if value.this else "false",)
    if isinstance(value, (exp.Literal, exp.HexString)):
        return (str(value.this),)
    if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal):
        return ("-" + str(value.this.this),)
    return None
