"""Runs one statement: which kind it is, its transaction, its locks, its result.

fakesnow's cursor does the rest of the work (what a statement leaves in its information schema).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import sqlglot
from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import syntax_error
from fakesnow.statement_type import UNKNOWN, statement_type_id
from sqlglot import Expr, exp
from sqlglot.errors import ParseError

from data_platform.local_cloud.snowflake.dialect.access import changes_nothing_here
from data_platform.local_cloud.snowflake.dialect.alter import split_alter_command
from data_platform.local_cloud.snowflake.dialect.copy_into import prepared_copy
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error, error, sql_error
from data_platform.local_cloud.snowflake.dialect.merge import bare_set_columns
from data_platform.local_cloud.snowflake.engine.copy_into import CopyTarget, copy_from_stage
from data_platform.local_cloud.snowflake.engine.ddl import Definition
from data_platform.local_cloud.snowflake.engine.inserts import fitted_literals, insert_bound_rows, insert_many_literals
from data_platform.local_cloud.snowflake.engine.locks import LockMode, TableKey
from data_platform.local_cloud.snowflake.engine.merge import run_merge
from data_platform.local_cloud.snowflake.engine.parameters import alter_session
from data_platform.local_cloud.snowflake.engine.results import Result, arrow_table, column_info, described
from data_platform.local_cloud.snowflake.engine.session import Session
from data_platform.local_cloud.snowflake.engine.show import show_or_describe
from data_platform.local_cloud.snowflake.engine.temporary import table_key
from data_platform.local_cloud.snowflake.engine.translation import to_duckdb

_DONE = "Statement executed successfully."
_CHANGES = (exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
_APPENDS = (exp.Insert, exp.Copy, exp.MultitableInserts)
_DEFINITIONS = (exp.Create, exp.Drop, exp.Alter, exp.Comment)


def parse_statement(text: str) -> Expr:
    """The one statement of `text`. Raises ProgrammingError for none, several, or one that does not parse."""
    try:
        parsed = sqlglot.parse(text, read="snowflake")
    except ParseError as exc:
        raise syntax_error(exc) from None
    statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
    if not statements:
        raise compilation_error(900, "42601", "Empty SQL statement.")
    first = statements[0]
    if isinstance(first, exp.Alias) and first.sql().upper() == "START AS TRANSACTION":
        return exp.Transaction()
    if len(statements) > 1:
        count = len(statements)
        raise error(8, "0A000", f"Actual statement count {count} did not match the desired statement count 1.")
    return first


def status(text: str = _DONE) -> Result:
    return Result(pa.table({"status": [text]}), [column_info("status", "VARCHAR")])


class Cursor(FakeSnowflakeCursor):
    """A fakesnow cursor that speaks our dialect and keeps our transactions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, session.duck)
        self.session = session
        self.statement_type = UNKNOWN

    def run(self, text: str, params: Any = None) -> Result:
        """Run one statement and return its rows. Raises ProgrammingError, and nothing else."""
        self._sfqid = query_id = str(uuid.uuid4())  # type: ignore[assignment]
        try:
            expression = parse_statement(self._inline_variables(text))
            self.statement_type = statement_type_id(expression)
            result = self._run(expression, list(params) if isinstance(params, tuple) else params)
        except Exception as exc:
            raise sql_error(exc) from exc
        finally:
            self.session.last_query_id = query_id
        self.session.results_cache[query_id] = (result.table, result.rows, None, None, None)
        return result

    def _run(self, expression: Expr, params: Any) -> Result:
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
        if alter_session(session, expression) or changes_nothing_here(expression):
            return status()
        if isinstance(expression, exp.Use) and (used := self._use(expression)):
            return used
        if not isinstance(expression, exp.Copy):  # its stage reads like an unqualified table
            self.check_db_and_schema(expression)
        if query := show_or_describe(expression, session):
            session.duck.execute(query)
            return described(arrow_table(session.duck), session.duck)
        if isinstance(expression, exp.Copy):
            return self._copy(expression)
        if isinstance(expression, exp.Merge):
            return self._merge(expression, params)
        if isinstance(expression, _CHANGES + _APPENDS):
            mode = LockMode.CHANGE if isinstance(expression, _CHANGES) else LockMode.APPEND
            return session.write(self._target(expression), mode, lambda: self._change(expression, params))
        statements = split_alter_command(expression)
        if isinstance(statements[0], _DEFINITIONS):
            result = status()
            for statement in statements:
                result = session.define(self._target(statement), partial(self._define, statement, params))
            return result
        return self._fakesnow(expression, params)

    def run_batch(self, text: str, rows: list[tuple[Any, ...]]) -> Result:
        """Run one statement for an array binding: an INSERT as one statement, anything else row by row."""
        expression = parse_statement(text)
        self.statement_type = statement_type_id(expression)
        if isinstance(expression, exp.Insert):
            self.session.last_query_id = str(uuid.uuid4())
            self._sfqid = self.session.last_query_id  # type: ignore[assignment]
            try:
                self.check_db_and_schema(expression)
                insert = self._transform(expression, None)
                assert isinstance(insert, exp.Insert)
                inserted = self.session.write(
                    self._target(insert), LockMode.APPEND, lambda: insert_bound_rows(self.session, insert, rows)
                )
            except Exception as exc:
                raise sql_error(exc) from exc
            if inserted is not None:
                return self._inserted(inserted)
        affected, result = 0, status()
        for row in rows:
            result = self.run(text, row)
            affected += result.affected or 0
        return replace(result, affected=affected)

    def _inserted(self, rows: int) -> Result:
        return self._counted(pa.table({"number of rows inserted": [rows]}), rows)

    def _change(self, expression: Expr, params: Any) -> Result:
        """Run INSERT, UPDATE, DELETE or TRUNCATE."""
        if isinstance(expression, exp.Insert):
            expression = self._upper(expression)
            if (inserted := insert_many_literals(self.session, expression)) is not None:
                return self._inserted(inserted)
        # a copy, because a statement that meets a conflict is run again and transforms change the tree
        return self._fakesnow(fitted_literals(self.session, expression.copy()), params)

    def _upper(self, insert: exp.Insert) -> exp.Insert:
        """Resolve IDENTIFIER() in the target before its columns are looked up."""
        insert.set("this", insert.this.transform(lambda e: transforms.identifier(e, None)))
        return insert

    def _define(self, expression: Expr, params: Any) -> Result:
        """Run a DDL statement: tables, views and comments ourselves, the rest the way fakesnow does."""
        expression = expression.copy()  # one that meets a conflict is run again, and running it changes the tree
        message = Definition(self.session, lambda e: self._transform(e, params)).run(expression)
        if message:
            return status(message)
        if str(expression.args.get("kind")).upper() == "DATABASE":
            return self._database(expression, params)
        return self._fakesnow(expression, params)

    def _database(self, expression: Expr, params: Any) -> Result:
        """CREATE DATABASE, which becomes the current one, and DROP DATABASE."""
        session = self.session
        name = expression.find(exp.Identifier)
        assert name is not None
        database = name.name if name.args.get("quoted") else name.name.upper()
        known = session.duck.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = ?", [database]).fetchall()
        if isinstance(expression, exp.Create):
            if known and expression.args.get("exists"):
                return status(f"{database} already exists, statement succeeded.")
            result = self._fakesnow(expression, params)
            session.instance.prepare_database(database)
            session.use_schema(database, "PUBLIC")
            return result
        if not known:
            if expression.args.get("exists"):
                return status("Drop statement executed successfully.")
            raise compilation_error(2003, "02000", f"Database '{database}' does not exist or not authorized.")
        if session.database == database:
            session.duck.execute("SET schema = 'memory.main'")
            session.database = session._schema = None
            session.database_set = session.schema_set = False
        session.instance.drop_database(database)
        return status(f"{database} successfully dropped.")

    def _use(self, use: exp.Use) -> Result | None:
        """USE ROLE and USE WAREHOUSE; `USE a.b` is USE SCHEMA, `USE a` is USE DATABASE."""
        kind, name = str(use.args.get("kind") or "").upper(), use.this.name.upper() if use.this else ""
        if kind == "ROLE":
            self.session.context.role = name
        elif kind == "WAREHOUSE":
            self.session.context.warehouse = name
        elif kind == "SECONDARY ROLES":
            return status()
        elif not kind and isinstance(use.this, exp.Table):
            use.set("kind", exp.Var(this="SCHEMA" if use.this.db else "DATABASE"))
            return self._use(use)
        elif kind == "DATABASE" and isinstance(use.this, exp.Table):
            known = self._duck_conn.execute("SELECT database_name FROM duckdb_databases()").fetchall()
            if (name,) not in known:
                raise compilation_error(2043, "02000", "Object does not exist, or operation cannot be performed.")
            self.session.use_schema(name, "PUBLIC")
        else:
            return None
        return status()

    def _fakesnow(self, expression: Expr, params: Any) -> Result:
        """Run a statement the way fakesnow does, through our transforms."""
        query_id = self._sfqid
        statements = self._transform_explode(expression)
        for statement in statements:
            transformed = self._transform(statement, params)
            self._execute(transformed, params if transformed.find(exp.Placeholder) else None)
        self._sfqid = query_id
        table = self._arrow_table
        assert table is not None
        affected = self._rowcount if isinstance(expression, _CHANGES + _APPENDS) else None
        return replace(described(table, self._duck_conn), affected=affected)

    def _transform(self, expression: Expr, params: Any) -> Expr:
        return to_duckdb(expression, self.session, params)

    def _copy(self, expression: exp.Copy) -> Result:
        copy = self._transform(prepared_copy(expression), None)
        assert isinstance(copy, exp.Copy)
        catalog, schema, name = self._target(copy) or ("", "", "")
        columns = tuple(c.name for c in copy.this.expressions) if isinstance(copy.this, exp.Schema) else ()
        target = CopyTarget(catalog, schema, name, columns)

        def load() -> Result:
            done = copy_from_stage(self.session, copy, target)
            if done is None:
                return self._fakesnow(expression, None)
            return self._counted(*done)

        return self.session.write((catalog, schema, name), LockMode.APPEND, load)

    def _merge(self, expression: exp.Merge, params: Sequence[Any] | None) -> Result:
        merge = self._transform(bare_set_columns(expression), params)
        assert isinstance(merge, exp.Merge)
        return self.session.write(
            self._target(merge), LockMode.CHANGE, lambda: self._counted(*run_merge(self._duck_conn, merge, params))
        )

    def _counted(self, table: pa.Table, affected: int) -> Result:
        kinds = {pa.int64(): "BIGINT", pa.string(): "VARCHAR"}
        return Result(table, [column_info(f.name, kinds[f.type]) for f in table.schema], affected)

    def _target(self, expression: Expr) -> TableKey | None:
        """The table that a statement writes or defines, qualified, upper-cased as its identifiers are."""
        kind = str(expression.args.get("kind") or "TABLE").upper()
        if isinstance(expression, (exp.Create, exp.Drop, exp.Alter, exp.Comment)) and kind not in ("TABLE", "VIEW"):
            return None
        this = expression.args.get("this")
        if isinstance(expression, exp.TruncateTable):
            this = expression.expressions[0]
        table = this.find(exp.Table) if isinstance(this, Expr) else None
        if table is None:
            return None
        return table_key(self.session, table)
