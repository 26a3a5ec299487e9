"""Runs one statement: chooses the code that runs it, its transaction and its locks, and returns its result.

fakesnow's cursor runs the statements on databases, schemas, stages and file formats.
"""

from __future__ import annotations

import uuid
from functools import partial

from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.statement_type import UNKNOWN, statement_type_id
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.alter import split_alter_command
from data_platform.local_cloud.snowflake.dialect.copy_into import prepared_copy
from data_platform.local_cloud.snowflake.dialect.errors import sql_error
from data_platform.local_cloud.snowflake.dialect.merge import bare_set_columns
from data_platform.local_cloud.snowflake.dialect.parse import parse_statement
from data_platform.local_cloud.snowflake.engine.copy_into import CopyTarget, copy_from_stage
from data_platform.local_cloud.snowflake.engine.ddl import Definition
from data_platform.local_cloud.snowflake.engine.literals import fitted_literals
from data_platform.local_cloud.snowflake.engine.locks import LockMode, TableKey
from data_platform.local_cloud.snowflake.engine.merge import run_merge
from data_platform.local_cloud.snowflake.engine.parameters import alter_session
from data_platform.local_cloud.snowflake.engine.results import Result, arrow_table, counted, described, status
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.show import describe, show
from data_platform.local_cloud.snowflake.engine.temporary import table_key
from data_platform.local_cloud.snowflake.engine.translation import to_duckdb

_CHANGES = (exp.Update, exp.Delete, exp.TruncateTable)
_DEFINITIONS = (exp.Create, exp.Drop, exp.Alter, exp.Comment)
_FAKESNOWS = {
    ("CREATE", "DATABASE"),
    ("CREATE", "SCHEMA"),
    ("CREATE", "STAGE"),
    ("CREATE", "FILE FORMAT"),
    ("DROP", "SCHEMA"),
}


class Cursor(FakeSnowflakeCursor):
    """A fakesnow cursor that speaks our dialect and keeps our transactions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, session.duck)
        self.session = session
        self.statement_type = UNKNOWN
        self.query_id = str(uuid.uuid4())

    def run(self, text: str) -> Result:
        """Run one statement and return its rows. Raises ProgrammingError, and nothing else."""
        try:
            expression = parse_statement(text)
            self.statement_type = statement_type_id(expression)
            return self._run(expression)
        except Exception as exc:
            raise sql_error(exc) from exc

    def _run(self, expression: Expr) -> Result:
        session = self.session
        if isinstance(expression, exp.Transaction):
            session.begin()
            return status()
        if isinstance(expression, exp.Commit):
            session.commit_transaction()
            return status()
        if isinstance(expression, exp.Rollback):
            session.rollback_transaction()
            return status()
        if alter_session(session, expression) or self._uses(expression):
            return status()
        if isinstance(expression, exp.Copy):  # its stage reads like an unqualified table
            return self._copy(expression)
        self.check_db_and_schema(expression)
        if isinstance(expression, exp.Describe) and (described_table := describe(expression, session)):
            return described_table
        if query := show(expression, session):
            session.duck.execute(query)
            return described(arrow_table(session.duck), session.duck)
        if isinstance(expression, exp.Merge):
            return self._merge(expression)
        if isinstance(expression, (exp.Insert, *_CHANGES)):
            mode = LockMode.APPEND if isinstance(expression, exp.Insert) else LockMode.CHANGE
            return session.write(self._target(expression), mode, lambda: self._change(expression))
        statements = split_alter_command(expression)
        if isinstance(statements[0], _DEFINITIONS):
            result = status()
            for statement in statements:
                alters = isinstance(statement, (exp.Alter, exp.Comment)) and not statement.find(exp.SwapTable)
                mode = LockMode.ALTER if alters else LockMode.DEFINE
                result = session.define(self._target(statement), mode, partial(self._define, statement))
            return result
        if isinstance(expression, (exp.Use, exp.Show)):
            return self._fakesnow(expression)
        if isinstance(expression, (exp.Command, exp.Grant, exp.Revoke)):
            raise NotImplementedError(expression.sql(dialect="snowflake"))
        return self._query(expression)

    def _query(self, expression: Expr) -> Result:
        self.session.duck.execute(self._sql(expression))
        return described(arrow_table(self.session.duck), self.session.duck)

    def _change(self, expression: Expr) -> Result:
        """Run INSERT, UPDATE, DELETE or TRUNCATE."""
        # a copy, because a statement that meets a conflict is run again and transforms change the tree
        duck = self.session.duck.execute(self._sql(fitted_literals(self.session, expression.copy())))
        if isinstance(expression, exp.TruncateTable):
            return status()
        (rows,) = duck.fetchall()[0]
        if isinstance(expression, exp.Insert):
            return counted({"number of rows inserted": rows}, rows)
        if isinstance(expression, exp.Update):
            return counted({"number of rows updated": rows, "number of multi-joined rows updated": 0}, rows)
        return counted({"number of rows deleted": rows}, rows)

    def _define(self, expression: Expr) -> Result:
        """Run a DDL statement: tables, views and comments ourselves, the rest the way fakesnow does."""
        expression = expression.copy()  # one that meets a conflict is run again, and running it changes the tree
        if message := Definition(self.session).run(expression):
            return status(message)
        verb, kind = expression.key.upper(), str(expression.args.get("kind")).upper()
        if (verb, kind) not in _FAKESNOWS:
            raise NotImplementedError(f"{verb} {kind}")
        if isinstance(expression, exp.Create) and kind == "DATABASE":
            return self._create_database(expression)
        return self._fakesnow(expression)

    def _create_database(self, create: exp.Create) -> Result:
        """CREATE DATABASE, which becomes the current one."""
        session = self.session
        name = create.find(exp.Identifier)
        assert name is not None
        database = name.name if name.args.get("quoted") else name.name.upper()
        known = session.duck.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = ?", [database]).fetchall()
        if known and create.args.get("exists"):
            return status(f"{database} already exists, statement succeeded.")
        result = self._fakesnow(create)
        session.instance.prepare_database(database)
        session.use_schema(database, "PUBLIC")
        return result

    def _uses(self, expression: Expr) -> bool:
        """Apply USE ROLE and USE WAREHOUSE. Returns whether the statement was one; fakesnow runs the other forms."""
        kind = str(expression.args.get("kind") or "").upper() if isinstance(expression, exp.Use) else ""
        if kind == "ROLE":
            self.session.context.role = expression.this.name.upper()
        elif kind == "WAREHOUSE":
            self.session.context.warehouse = expression.this.name.upper()
        return kind in ("ROLE", "WAREHOUSE")

    def _fakesnow(self, expression: Expr) -> Result:
        """Run a statement the way fakesnow does, through our transforms."""
        self._execute(to_duckdb(expression, self.session))
        table = self._arrow_table
        assert table is not None
        return described(table, self._duck_conn)

    def _sql(self, expression: Expr) -> str:
        return to_duckdb(expression, self.session).sql(dialect="duckdb", copy=False)

    def _copy(self, expression: exp.Copy) -> Result:
        copy = to_duckdb(prepared_copy(expression), self.session)
        assert isinstance(copy, exp.Copy)
        catalog, schema, name = self._target(copy) or ("", "", "")
        columns = tuple(c.name for c in copy.this.expressions) if isinstance(copy.this, exp.Schema) else ()
        target = CopyTarget(catalog, schema, name, columns)
        return self.session.write(
            (catalog, schema, name), LockMode.APPEND, lambda: copy_from_stage(self.session, copy, target)
        )

    def _merge(self, expression: exp.Merge) -> Result:
        merge = to_duckdb(bare_set_columns(expression), self.session)
        assert isinstance(merge, exp.Merge)
        return self.session.write(self._target(merge), LockMode.CHANGE, lambda: run_merge(self._duck_conn, merge))

    def _target(self, expression: Expr) -> TableKey | None:
        """The table that a statement writes or defines, qualified, upper-cased as its identifiers are."""
        kind = str(expression.args.get("kind") or "TABLE").upper()
        if isinstance(expression, _DEFINITIONS) and kind not in ("TABLE", "VIEW"):
            return None
        this = expression.args.get("this")
        if isinstance(expression, exp.TruncateTable):
            this = expression.expressions[0]
        table = this.find(exp.Table) if isinstance(this, Expr) else None
        return None if table is None else table_key(self.session, table)
