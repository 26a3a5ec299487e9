"""ALTER TABLE and ALTER VIEW, one action at a time.

See https://docs.snowflake.com/en/sql-reference/sql/alter-table and .../alter-table-column.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.alter import as_column, is_widening, qualified_like
from data_platform.local_cloud.snowflake.dialect.ddl import column_of
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error
from data_platform.local_cloud.snowflake.engine.locks import LockMode
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.temporary import table_key
from data_platform.local_cloud.snowflake.engine.translation import to_duckdb


class Alteration:
    """One ALTER statement, run as the DuckDB statements that mean the same."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._duck = session.duck

    def run(self, alter: exp.Alter) -> str:
        """Run it and return Snowflake's message."""
        kind = str(alter.args.get("kind") or "TABLE").upper()
        table = alter.this
        for action in alter.args.get("actions") or []:
            self._action(alter, table, action, kind)
        self._session.instance.times.note_altered(table_key(self._session, table))
        return "Statement executed successfully."

    def _action(self, alter: exp.Alter, table: exp.Table, action: Expr, kind: str) -> None:
        if isinstance(action, exp.SwapTable):
            self._swap(alter, table, qualified_like(action.this, table))
            return
        if isinstance(action, (exp.ColumnDef, exp.Drop, exp.RenameColumn)):
            self._change_columns(alter, table, action)
        elif isinstance(action, exp.AlterRename):
            new = action.this
            if table_key(self._session, table)[:2] != table_key(self._session, qualified_like(new, table))[:2]:
                raise NotImplementedError("ALTER TABLE … RENAME TO another schema")
            self._execute(alter, table, exp.AlterRename(this=exp.Table(this=new.this.copy())))
        elif isinstance(action, exp.AlterColumn):
            self._alter_column(alter, table, action)
        elif isinstance(action, exp.AlterSet) and (comment := action.find(exp.SchemaCommentProperty)):
            self._run(exp.Comment(this=table.copy(), kind=kind, expression=comment.this.copy()))
        # clustering keys, constraints, retention and the like have no counterpart: accepted

    def _swap(self, alter: exp.Alter, table: exp.Table, other: exp.Table) -> None:
        """Both tables take each other's name at once, in one transaction."""
        one, two = table_key(self._session, table), table_key(self._session, other)
        if one[:2] != two[:2]:
            raise NotImplementedError("ALTER TABLE … SWAP WITH a table of another schema")
        self._session.instance.locks.acquire(self._session.token, two, LockMode.DEFINE)
        between = f"{one[2]}__SWAPPED"
        self._duck.execute("BEGIN TRANSACTION")
        try:
            for old, new in ((one[2], between), (two[2], one[2]), (between, two[2])):
                renamed = exp.Table(this=exp.to_identifier(old, quoted=True), db=table.args.get("db"))
                renamed.set("catalog", table.args.get("catalog"))
                name = exp.Table(this=exp.to_identifier(new, quoted=True))
                self._execute(alter, renamed, exp.AlterRename(this=name))
            self._duck.execute("COMMIT")
        except Exception:
            self._duck.execute("ROLLBACK")
            raise
        self._session.instance.times.note_altered(two)

    def _change_columns(self, alter: exp.Alter, table: exp.Table, action: Expr) -> None:
        if isinstance(action, exp.Drop):
            for column in action.args.get("tables") or [action.this]:
                one = exp.Drop(tables=[as_column(column)], kind="COLUMN", exists=action.args.get("exists"))
                self._execute(alter, table, one)
            return
        if isinstance(action, exp.ColumnDef):
            not_null = action.find(exp.NotNullColumnConstraint) is not None
            kept = [c for c in action.args.get("constraints") or [] if isinstance(c.kind, exp.DefaultColumnConstraint)]
            action = action.copy()
            action.set("constraints", [c.copy() for c in kept])
            self._execute(alter, table, action)
            if not_null:
                self._execute(alter, table, exp.AlterColumn(this=exp.column(action.this.copy()), allow_null=False))
            return
        self._execute(alter, table, action.copy())

    def _alter_column(self, alter: exp.Alter, table: exp.Table, action: exp.AlterColumn) -> None:
        if (text := action.args.get("comment")) is not None:
            column = column_of(table, as_column(action.this).this)
            self._run(exp.Comment(this=column, kind="COLUMN", expression=text.copy()))
            return
        if (new_type := action.args.get("dtype")) is not None:
            self._check_widening(table, action.this.name, action.this, new_type)
        action = action.copy()
        action.set("this", as_column(action.this))
        self._execute(alter, table, action)

    def _check_widening(self, table: exp.Table, name: str, column: Expr, new_type: exp.DataType) -> None:
        """Snowflake changes a type in place only where no value can be lost.

        See https://docs.snowflake.com/en/sql-reference/sql/alter-table-column.
        """
        key = table_key(self._session, table)
        identifier = column.this if isinstance(column, exp.Column) else column
        wanted = name if identifier.args.get("quoted") else name.upper()
        found = self._duck.execute(
            "SELECT data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ?"
            " AND column_name = ?",
            [*key, wanted],
        ).fetchall()
        if not found:
            raise compilation_error(904, "42000", f"invalid identifier '{wanted}'")
        cast = to_duckdb(exp.Cast(this=exp.null(), to=new_type.copy()), self._session)
        target = str(self._duck.execute(f"SELECT typeof({cast.sql(dialect='duckdb')})").fetchall()[0][0])
        if not is_widening(str(found[0][0]), target):
            raise compilation_error(
                2108, "22000", f"cannot change column {wanted} from type {found[0][0]} to {new_type.sql('snowflake')}"
            )

    def _execute(self, alter: exp.Alter, table: exp.Table, action: Expr) -> None:
        statement = exp.Alter(
            this=table.copy(), kind=alter.args.get("kind"), exists=alter.args.get("exists"), actions=[action]
        )
        self._run(statement)

    def _run(self, statement: Expr) -> None:
        self._duck.execute(to_duckdb(statement, self._session).sql(dialect="duckdb", copy=False))
