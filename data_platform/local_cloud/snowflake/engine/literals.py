"""Text literals of an INSERT or UPDATE as the types of the columns that they are for want them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import quoted
from data_platform.local_cloud.snowflake.dialect.literals import fit_literal, is_text
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import physical_name


def fitted_literals(session: Session, statement: Expr) -> Expr:
    """Fit the text literals that an INSERT or UPDATE puts into timestamp and binary columns."""
    if isinstance(statement, exp.Insert):
        table, names = _target(statement)
        rows = _rows(statement)
        if table is None or not any(is_text(value) for row in rows for value in row):
            return statement
        kinds = _column_types(session, table, names)
        for row in rows:
            for value, kind in zip(row, kinds, strict=False):
                fit_literal(value, kind)
    elif isinstance(statement, exp.Update) and isinstance(statement.this, exp.Table):
        assignments = [e for e in statement.expressions if isinstance(e, exp.EQ) and is_text(e.expression)]
        if assignments:
            names = [e.this.name if e.this.this.args.get("quoted") else e.this.name.upper() for e in assignments]
            for assignment, kind in zip(assignments, _column_types(session, statement.this, names), strict=True):
                fit_literal(assignment.expression, kind)
    return statement


def _column_types(session: Session, table: exp.Table, names: Sequence[str]) -> list[str]:
    """DuckDB's types of a table's columns: those named, or all in order."""
    where = ".".join(quoted(part) for part in physical_name(session, table))
    found = session.duck.execute(f"DESCRIBE {where}").fetchall()
    by_name = {str(name): str(kind) for name, kind, *_ in found}
    return [by_name.get(name, "") for name in names] if names else list(by_name.values())


def _target(insert: exp.Insert) -> tuple[exp.Table | None, list[str]]:
    schema = insert.this
    if isinstance(schema, exp.Schema):
        names = [c.name if c.args.get("quoted") else c.name.upper() for c in schema.expressions]
        return schema.this if isinstance(schema.this, exp.Table) else None, names
    return schema if isinstance(schema, exp.Table) else None, []


def _rows(insert: exp.Insert) -> list[list[Expr]]:
    source = insert.expression
    if isinstance(source, exp.Values):
        return [list(t.expressions) if isinstance(t, exp.Tuple) else [t] for t in source.expressions]
    if isinstance(source, exp.Select):
        return [[p.unalias() for p in source.expressions]]
    return []
