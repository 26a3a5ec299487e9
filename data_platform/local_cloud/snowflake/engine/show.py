"""SHOW and DESCRIBE, with the columns that clients read.

See https://docs.snowflake.com/en/sql-reference/sql/show and .../desc-table. SHOW STAGES is fakesnow's, and SHOW refuses
the rest.
"""

from __future__ import annotations

import re

import pyarrow as pa
import sqlglot
from sqlglot import Expr, TokenType, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import INFORMATION_SCHEMA, literal
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error
from data_platform.local_cloud.snowflake.engine.catalog import table_statistics
from data_platform.local_cloud.snowflake.engine.results import Result, column_info, declared_type
from data_platform.local_cloud.snowflake.engine.session import TIME_ZONE, Session
from data_platform.local_cloud.snowflake.engine.temporary import physical_name

_DESCRIBED = [
    *("name", "type", "kind", "null?", "default", "primary key", "unique key", "check", "expression", "comment"),
    *("policy name", "privacy domain"),
]
_OWNER = "'DATA_PLATFORM' AS \"owner\", 'ROLE' AS \"owner_role_type\""
_PARAMETERS = {
    "AUTOCOMMIT": "true",
    "LOCK_TIMEOUT": "43200",
    "QUERY_TAG": "",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": "false",
    "STATEMENT_TIMEOUT_IN_SECONDS": "172800",
    "TIMEZONE": TIME_ZONE,
}


def describe(expression: exp.Describe, session: Session) -> Result | None:
    """DESCRIBE TABLE or VIEW; None for anything else."""
    kind = str(expression.args.get("kind") or "TABLE").upper()
    table = expression.this
    if kind not in ("TABLE", "VIEW") or not isinstance(table, exp.Table) or table.db.upper() == "INFORMATION_SCHEMA":
        return None
    columns = session.duck.execute(
        "SELECT column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index",
        physical_name(session, table),
    ).fetchall()
    if not columns:
        raise compilation_error(
            2003, "42S02", f"Table '{table.sql('snowflake').upper()}' does not exist or not authorized."
        )
    rows = [
        (
            name,
            declared_type(kind),
            "COLUMN",
            "Y" if nullable else "N",
            default,
            "N",
            "N",
            None,
            None,
            comment,
            None,
            None,
        )
        for name, kind, nullable, default, comment in columns
    ]
    values = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return Result(pa.table(values, names=_DESCRIBED), [column_info(name, "VARCHAR") for name in _DESCRIBED])


def show(expression: Expr, session: Session) -> str | None:
    """The DuckDB query for a SHOW statement, or None where this module does not know it."""
    if isinstance(expression, exp.Show):
        name = expression.name.upper()
        if name in ("OBJECTS", "TABLES", "VIEWS"):
            return _relations(expression, session, name)
        if name == "SCHEMAS":
            return _schemas(expression, session)
        if name != "STAGES":
            raise NotImplementedError(f"SHOW {name}")
    if isinstance(expression, exp.Command) and str(expression.this).upper() == "SHOW":
        return _command(str(expression.expression or ""), session)
    return None


def _scope(expression: exp.Show, session: Session) -> tuple[str | None, str | None]:
    """The (database, schema) that a SHOW statement is limited to; None for all."""
    kind = str(expression.args.get("scope_kind") or "").upper()
    scope = expression.args.get("scope")
    if kind == "ACCOUNT":
        return None, None
    if not isinstance(scope, exp.Table):
        return session.database, session.schema if kind != "DATABASE" else None
    names = [_name(part) for part in scope.parts]
    if kind == "DATABASE":
        return names[-1], None
    return names[0] if len(names) > 1 else session.database, names[-1]


def _name(identifier: Expr) -> str:
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()


def _narrowed(query: str, expression: exp.Show) -> str:
    """LIKE, STARTS WITH, FROM and LIMIT, which SHOW applies to the object's name in that order."""
    conditions = ["true"]
    like, starts_with, limit = (expression.args.get(k) for k in ("like", "starts_with", "limit"))
    if isinstance(like, Expr):
        conditions.append(f'"name" ILIKE {like.sql("duckdb")}')
    if isinstance(starts_with, Expr):
        conditions.append(f'starts_with("name", {starts_with.sql("duckdb")})')
    if isinstance(after := expression.args.get("from_"), Expr):
        name = after.find(exp.Literal)
        conditions.append(f'"name" > {literal(name.name if name else "")}')
    query = f'SELECT * FROM ({query}) WHERE {" AND ".join(conditions)} ORDER BY "database_name", "schema_name", "name"'
    return f"{query} {limit.sql('duckdb')}" if isinstance(limit, exp.Limit) else query


def _relations(expression: exp.Show, session: Session, kind: str) -> str:
    database, schema = _scope(expression, session)
    if database and schema and not _schema_exists(session, database, schema):
        raise compilation_error(2043, "02000", "Object does not exist, or operation cannot be performed.")
    where = ["r.schema_name <> '_fs_information_schema'", "r.database_name <> '_fs_global'"]
    for column, value in (("database_name", database), ("schema_name", schema)):
        if value:
            where.append(f"r.{column} = {literal(value)}")
    if kind != "OBJECTS":
        where.append(f"r.kind = '{'BASE TABLE' if kind == 'TABLES' else 'VIEW'}'")
    columns = """coalesce(s.created, to_timestamp(0)) AS "created_on", r.name AS "name",
        r.database_name AS "database_name", r.schema_name AS "schema_name",
        CASE r.kind WHEN 'BASE TABLE' THEN 'TABLE' ELSE r.kind END AS "kind" """
    if not expression.args.get("terse"):
        columns += f""", coalesce(r.comment, '') AS "comment", '' AS "cluster_by", s.row_count AS "rows",
            s.bytes AS "bytes", '1' AS "retention_time", {_OWNER}, r.text AS "text",
            'OFF' AS "automatic_clustering", 'OFF' AS "change_tracking", 'false' AS "is_secure",
            'false' AS "is_materialized", 'N' AS "is_external", 'N' AS "is_hybrid", 'N' AS "is_dynamic",
            'N' AS "is_iceberg", 'N' AS "is_immutable" """
    statistics = table_statistics(session.duck, session.instance.times, database, schema)
    query = f"""
    SELECT {columns} FROM {INFORMATION_SCHEMA}._dp_relations AS r
    LEFT JOIN ({statistics}) AS s USING (database_name, schema_name, name)
    WHERE {" AND ".join(where)}
    """
    return _narrowed(query, expression)


def _schema_exists(session: Session, database: str, schema: str) -> bool:
    found = session.duck.execute(
        "SELECT count(*) FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?", [database, schema]
    ).fetchall()
    return bool(found[0][0]) or schema == "INFORMATION_SCHEMA"


def _schemas(expression: exp.Show, session: Session) -> str:
    scope = expression.args.get("scope")
    database = _name(scope.parts[-1]) if isinstance(scope, exp.Table) else session.database
    if str(expression.args.get("scope_kind") or "").upper() == "ACCOUNT":
        database = None
    where = "NOT internal AND schema_name NOT IN ('main') AND database_name NOT IN ('_fs_global', 'memory', 'temp')"
    if database:
        where += f" AND database_name = {literal(database)}"
    query = f"""
    SELECT to_timestamp(0) AS "created_on",
        CASE schema_name WHEN '_fs_information_schema' THEN 'INFORMATION_SCHEMA' ELSE schema_name END AS "name",
        'N' AS "is_default", 'N' AS "is_current", database_name AS "database_name", NULL::VARCHAR AS "schema_name",
        NULL::VARCHAR AS "kind", coalesce(comment, '') AS "comment", '' AS "options", '1' AS "retention_time", {_OWNER}
    FROM duckdb_schemas() WHERE {where}
    """
    return _narrowed(query, expression)


def _command(text: str, session: Session) -> str | None:
    """SHOW PARAMETERS, which sqlglot keeps as text: read from its tokens."""
    tokens = sqlglot.tokenize(text, read="snowflake")
    words = [t.text.upper() for t in tokens]
    like = next((tokens[i + 1].text for i, t in enumerate(tokens[:-1]) if t.token_type is TokenType.LIKE), None)
    if words[:1] == ["PARAMETERS"]:
        values = {**_PARAMETERS, **{k: str(v) for k, v in session.context.parameters.items()}}
        pattern = re.compile(re.escape(like).replace("%", ".*").replace("_", "."), re.I) if like else None
        rows = [
            f"({literal(k)}, {literal(v)}, {literal(_PARAMETERS.get(k, ''))}, 'SESSION', '', 'STRING')"
            for k, v in sorted(values.items())
            if pattern is None or pattern.fullmatch(k)
        ]
        columns = '"key", "value", "default", "level", "description", "type"'
        if not rows:
            return f"SELECT * FROM (VALUES ('', '', '', '', '', '')) AS p({columns}) WHERE false"
        return (
            f'SELECT * FROM (VALUES {", ".join(rows)}) AS p("key", "value", "default", "level", "description", "type")'
        )
    return None
