"""Translates a statement's tree to DuckDB's: the rules of `dialect`, and those that depend on the session's temporary
tables and on INFORMATION_SCHEMA.
"""

from __future__ import annotations

import sqlglot
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.functions import snowflake_functions
from data_platform.local_cloud.snowflake.dialect.geometry import geometry_functions
from data_platform.local_cloud.snowflake.dialect.literals import compared_timestamps
from data_platform.local_cloud.snowflake.dialect.numbers import exact_quotients
from data_platform.local_cloud.snowflake.dialect.transforms import pipeline, rewritten
from data_platform.local_cloud.snowflake.engine.catalog import information_schema_tables
from data_platform.local_cloud.snowflake.engine.parameters import session_functions
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import point_to_temporary


def to_duckdb(expression: Expr, session: Session) -> Expr:
    """The tree that DuckDB runs for a Snowflake statement's tree."""
    expression = rewritten(expression, geometry_functions)
    expression = rewritten(expression, lambda e: session_functions(e, session))
    expression = rewritten(expression, compared_timestamps)
    expression = rewritten(expression, snowflake_functions)
    expression = rewritten(expression, lambda e: information_schema(e, session))
    expression = rewritten(expression, lambda e: point_to_temporary(e, session))
    for transform in pipeline(session):
        expression = expression.transform(transform, copy=False)
    reserved = session.instance.reserved_words
    for identifier in expression.find_all(exp.Identifier):
        if not identifier.quoted and identifier.name.upper() in reserved:
            identifier.set("quoted", True)
    return exact_quotients(session.duck, expression)


def information_schema(node: Expr, session: Session) -> Expr:
    """Replace a reference to INFORMATION_SCHEMA.TABLES or .COLUMNS by a subquery."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        return node
    schema = node.db.upper() or (session.schema or "")
    if schema != "INFORMATION_SCHEMA" or node.name.upper() not in ("TABLES", "COLUMNS"):
        return node
    database = (node.catalog or session.database or "").upper()
    if node.name.upper() == "TABLES":
        query = information_schema_tables(session.duck, session.instance.times, database)
    else:
        query = f'SELECT * FROM "{database}"._fs_information_schema._fs_columns'
    alias = node.alias or node.name.upper()
    parsed = sqlglot.parse_one(query, read="duckdb")
    return exp.Subquery(this=parsed, alias=exp.TableAlias(this=exp.to_identifier(alias)))
