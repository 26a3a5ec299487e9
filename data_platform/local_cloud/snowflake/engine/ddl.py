"""CREATE, DROP and COMMENT of tables and views; ALTER is in `alter`.

Snowflake enforces no constraints but NOT NULL
(https://docs.snowflake.com/en/sql-reference/constraints-overview), so they do not reach DuckDB.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.ddl import is_temporary, take_comments, take_constraints
from data_platform.local_cloud.snowflake.engine.alter import Alteration
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import table_exists, table_key, temporary_name
from data_platform.local_cloud.snowflake.engine.translation import to_duckdb


class Definition:
    """One CREATE, ALTER, DROP or COMMENT of a table or view, run as the DuckDB statements that mean the same."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._duck = session.duck

    def run(self, expression: Expr) -> str | None:
        """Run it and return Snowflake's message, or None for a statement of another kind."""
        kind = str(expression.args.get("kind") or "").upper()
        if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
            return self._create(expression, kind)
        if isinstance(expression, exp.Drop) and kind in ("TABLE", "VIEW"):
            return self._drop(expression, kind)
        if isinstance(expression, exp.Alter) and kind in ("TABLE", "VIEW"):
            return Alteration(self._session).run(expression)
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
        if create.find(exp.LikeProperty) or create.args.get("clone"):
            raise NotImplementedError("CREATE TABLE … LIKE and … CLONE")
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
            # Comments go in the same transaction: if they came later, DuckDB would refuse the commits of sessions that
            # already write to the new table.
            self._atomically([*self._exploded(create), *([] if temporary or known else comments)])
        except Exception:
            if temporary:
                self._session.temporary.pop(key, None)
            raise
        if known:
            return f"{key[2]} already exists, statement succeeded."
        if not temporary and kind == "TABLE":
            self._session.instance.times.note_created(key)
        return f"{kind.title()} {key[2]} successfully created."

    def _exploded(self, create: exp.Create) -> list[Expr]:
        """The statements that one CREATE is: with an INSERT for declared columns AS SELECT."""
        definition = create.this
        columns = definition.expressions if isinstance(definition, exp.Schema) else []
        typed = columns and isinstance(columns[0], exp.ColumnDef) and columns[0].kind is not None
        if typed and create.expression is not None:
            insert = exp.Insert(this=definition.this.copy(), expression=create.expression.copy())
            create.set("expression", None)
            return [create, insert]
        return [create]

    def _atomically(self, statements: list[Expr]) -> None:
        """Run statements that are a single one on Snowflake."""
        several = len(statements) > 1
        if several:
            self._duck.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                self._duck.execute(to_duckdb(statement, self._session).sql(dialect="duckdb", copy=False))
            if several:
                self._duck.execute("COMMIT")
        except Exception:
            if several:
                self._duck.execute("ROLLBACK")
            raise

    def _drop(self, drop: exp.Drop, kind: str) -> str | None:
        tables = drop.args.get("tables") or drop.expressions or [drop.this]
        table = drop.this if isinstance(drop.this, exp.Table) else tables[0]
        key = table_key(self._session, table)
        exists = drop.args.get("exists")
        drop.set("cascade", False)
        drop.set("constraints", False)
        known = key in self._session.temporary or table_exists(self._session, key) or kind == "VIEW"
        self._duck.execute(to_duckdb(drop, self._session).sql(dialect="duckdb", copy=False))
        self._session.temporary.pop(key, None)
        if exists and not known:
            return f"Drop statement executed successfully ({key[2]} already dropped)."
        return f"{key[2]} successfully dropped."

    def _comment(self, comment: exp.Comment) -> str | None:
        kind = str(comment.args.get("kind")).upper()
        if kind not in ("TABLE", "VIEW", "COLUMN"):
            return "Statement executed successfully."
        comment.set("exists", None)
        self._duck.execute(to_duckdb(comment, self._session).sql(dialect="duckdb", copy=False))
        return "Statement executed successfully."
