"""CREATE, DROP and COMMENT of tables and views; ALTER is in `alter`.

Constraints other than NOT NULL are declared but not enforced on Snowflake
(https://docs.snowflake.com/en/sql-reference/constraints-overview), so they do not reach DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable

from fakesnow.transforms import create_table_autoincrement
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.ddl import is_temporary, take_comments, take_constraints
from data_platform.local_cloud.snowflake.dialect.duckdb_sql import INFORMATION_SCHEMA
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error
from data_platform.local_cloud.snowflake.engine.alter import Alteration
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import table_exists, table_key, temporary_name

_KEPT_AS_ROWS = {"STAGE": "_fs_stages", "FILE FORMAT": "_fs_file_formats"}


class Definition:
    """One CREATE, ALTER, DROP or COMMENT of a table or view, run as the DuckDB statements that mean the same."""

    def __init__(self, session: Session, transform: Callable[[Expr], Expr]) -> None:
        self._session = session
        self._transform = transform
        self._duck = session.duck

    def run(self, expression: Expr) -> str | None:
        """Run it and return Snowflake's message, or None where this class does not know the statement."""
        kind = str(expression.args.get("kind") or "").upper()
        if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
            return self._create(expression, kind)
        if isinstance(expression, exp.Drop) and kind in ("TABLE", "VIEW"):
            return self._drop(expression, kind)
        if isinstance(expression, exp.Alter) and kind in ("TABLE", "VIEW"):
            return Alteration(self._session, self._transform).run(expression)
        if isinstance(expression, exp.Drop) and kind in _KEPT_AS_ROWS:
            return self._drop_row(expression, kind)
        if isinstance(expression, exp.Comment):
            return self._comment(expression)
        return None

    def _create(self, create: exp.Create, kind: str) -> str | None:
        target = create.this
        table = target.this if isinstance(target, exp.Schema) else target
        if not isinstance(table, exp.Table):
            return None
        key = table_key(self._session, table)
        comments = take_comments(create, table)
        temporary = is_temporary(create)
        like = create.find(exp.LikeProperty)
        clone = create.args.get("clone")
        if like is not None or clone is not None:
            source = (like if like is not None else clone).this  # type: ignore[union-attr]
            create.set("clone", None)
            create.set("expression", exp.select("*").from_(source.copy()))
            if like is not None:
                create.set("expression", create.expression.limit(0))
        create.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]) if temporary else None)
        take_constraints(target)
        if isinstance(target, exp.Schema) and not target.expressions:
            create.set("this", table)
        exists, replace = create.args.get("exists"), create.args.get("replace")
        if temporary:
            if exists and key in self._session.temporary:
                return f"{key[2]} already exists, statement succeeded."
            self._session.temporary[key] = temporary_name(key)
        elif key in self._session.temporary and replace:
            del self._session.temporary[key]
        known = exists and table_exists(self._session, key)
        try:
            # The comments with it: whoever sees the table may write to it, in a transaction that DuckDB would not let
            # commit if they came afterwards.
            self._atomically([*self._exploded(create), *([] if temporary or known else comments)])
        except Exception:
            if temporary:
                self._session.temporary.pop(key, None)
            raise
        if known:
            return f"{key[2]} already exists, statement succeeded."
        if not temporary and kind == "TABLE":
            self._session.instance.times.note_created(key)
            self._forget_loads(key)
        return f"{kind.title()} {key[2]} successfully created."

    def _exploded(self, create: exp.Create) -> list[Expr]:
        """The statements that one CREATE is: a sequence for an identity, an INSERT for columns AS SELECT."""
        definition = create.this
        columns = definition.expressions if isinstance(definition, exp.Schema) else []
        typed = columns and isinstance(columns[0], exp.ColumnDef) and columns[0].kind is not None
        if typed and create.expression is not None:
            insert = exp.Insert(this=definition.this.copy(), expression=create.expression.copy())
            create.set("expression", None)
            return [*create_table_autoincrement(create), insert]
        return list(create_table_autoincrement(create))

    def _atomically(self, statements: list[Expr]) -> None:
        """Run statements that are one on Snowflake."""
        several = len(statements) > 1
        if several:
            self._duck.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                self._duck.execute(self._transform(statement).sql(dialect="duckdb"))
            if several:
                self._duck.execute("COMMIT")
        except Exception:
            if several:
                self._duck.execute("ROLLBACK")
            raise

    def _forget_loads(self, key: tuple[str, str, str]) -> None:
        """A new table has no load history."""
        history = f'"{key[0]}"._fs_information_schema._fs_load_history'
        where = "WHERE schema_name = ? AND table_name = ?"
        if self._duck.execute(f"SELECT 1 FROM {history} {where} LIMIT 1", key[1:]).fetchall():
            self._duck.execute(f"DELETE FROM {history} {where}", key[1:])

    def _drop(self, drop: exp.Drop, kind: str) -> str | None:
        tables = drop.args.get("tables") or drop.expressions or [drop.this]
        table = drop.this if isinstance(drop.this, exp.Table) else tables[0]
        key = table_key(self._session, table)
        exists = drop.args.get("exists")
        drop.set("cascade", False)
        drop.set("constraints", False)
        known = key in self._session.temporary or table_exists(self._session, key) or kind == "VIEW"
        self._duck.execute(self._transform(drop).sql(dialect="duckdb"))
        self._session.temporary.pop(key, None)
        if exists and not known:
            return f"Drop statement executed successfully ({key[2]} already dropped)."
        return f"{key[2]} successfully dropped."

    def _drop_row(self, drop: exp.Drop, kind: str) -> str:
        """Drop what is a row of fakesnow's own tables."""
        table = drop.this if isinstance(drop.this, exp.Table) else (drop.args.get("tables") or drop.expressions)[0]
        key = table_key(self._session, table)
        deleted = self._duck.execute(
            f"DELETE FROM {INFORMATION_SCHEMA}.{_KEPT_AS_ROWS[kind]}"
            " WHERE database_name = ? AND schema_name = ? AND name = ?",
            key,
        ).fetchall()
        if not deleted[0][0] and not drop.args.get("exists"):
            raise compilation_error(2003, "02000", f"{kind.title()} '{key[2]}' does not exist or not authorized.")
        return f"{key[2]} successfully dropped."

    def _comment(self, comment: exp.Comment) -> str | None:
        kind = str(comment.args.get("kind")).upper()
        if kind not in ("TABLE", "VIEW", "COLUMN", "SCHEMA", "DATABASE"):
            return "Statement executed successfully."
        if kind in ("SCHEMA", "DATABASE"):
            return "Statement executed successfully."
        comment.set("exists", None)
        self._duck.execute(self._transform(comment).sql(dialect="duckdb"))
        return "Statement executed successfully."
