"""Temporary tables with qualified names, which only their session sees.

DuckDB has one catalog of temporary tables per session, without schemas. A temporary table is stored there under its
whole name, and references to that name are redirected, so that it shadows a permanent table as Snowflake documents
(https://docs.snowflake.com/en/user-guide/tables-temp-transient).
"""

from __future__ import annotations

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.engine.locks import TableKey
from data_platform.local_cloud.snowflake.engine.session import Session


def table_key(session: Session, table: exp.Table) -> TableKey:
    """A table's qualified name, upper-cased as its identifiers are."""
    parts = [p.name if p.args.get("quoted") else p.name.upper() for p in table.parts]
    padded = [session.database or "", session.schema or ""][: max(0, 3 - len(parts))] + parts
    return (padded[0], padded[1], padded[2])


def temporary_name(key: TableKey) -> str:
    return ".".join(key)


def physical_name(session: Session, table: exp.Table) -> TableKey:
    """Where DuckDB keeps the table."""
    key = table_key(session, table)
    return ("temp", "main", temporary_name(key)) if key in session.temporary else key


def table_exists(session: Session, key: TableKey) -> bool:
    """Whether there is a permanent table of that name."""
    found = session.duck.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?", key
    ).fetchall()
    return bool(found[0][0])


def point_to_temporary(node: Expr, session: Session) -> Expr:
    """Redirect a reference to a temporary table of the session."""
    if not session.temporary or not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        return node
    if not node.db and _is_common_table_expression(node):
        return node
    key = table_key(session, node)
    if key not in session.temporary:
        return node
    if not node.alias and not isinstance(node.parent, (exp.Drop, exp.Alter, exp.Create, exp.Schema, exp.Insert)):
        node.set("alias", exp.TableAlias(this=exp.to_identifier(key[2], quoted=True)))
    node.set("this", exp.to_identifier(temporary_name(key), quoted=True))
    node.set("db", exp.to_identifier("main"))
    node.set("catalog", exp.to_identifier("temp"))
    return node


def _is_common_table_expression(table: exp.Table) -> bool:
    ancestor: Expr | None = table.parent
    while ancestor is not None:
        with_ = ancestor.args.get("with_")
        if with_ and any(cte.alias.upper() == table.name.upper() for cte in with_.expressions):
            return True
        ancestor = ancestor.parent
    return False
