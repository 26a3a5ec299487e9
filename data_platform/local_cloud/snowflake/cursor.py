"""Runs one statement: which kind it is, its transaction, its locks, its result.

fakesnow's cursor does the rest of the work (what a statement leaves in its information schema).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlglot
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import syntax_error
from sqlglot import Expr, exp
from sqlglot.errors import ParseError

from data_platform.local_cloud.snowflake.copy_into import CopyTarget, copy_from_stage, prepared_copy
from data_platform.local_cloud.snowflake.dialect import to_duckdb
from data_platform.local_cloud.snowflake.errors import compilation_error, error, sql_error
from data_platform.local_cloud.snowflake.locks import LockMode, TableKey
from data_platform.local_cloud.snowflake.merge import bare_set_columns, run_merge
from data_platform.local_cloud.snowflake.results import Result, column_info, described

if TYPE_CHECKING:
    from data_platform.local_cloud.snowflake.session import Session

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
    if len(statements) > 1:
        count = len(statements)
        raise error(8, "0A000", f"Actual statement count {count} did not match the desired statement count 1.")
    return statements[0]


def status(text: str = _DONE) -> Result:
    return Result(pa.table({"status": [text]}), [column_info("status", "VARCHAR")])


class Cursor(FakeSnowflakeCursor):
    """A fakesnow cursor that speaks our dialect and keeps our transactions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, session.duck)
        self.session = session

    def run(self, text: str, params: Any = None) -> Result:
        """Run one statement and return its rows. Raises ProgrammingError, and nothing else."""
        self._sfqid = str(uuid.uuid4())
        try:
            expression = parse_statement(self._inline_variables(text))
            result = self._run(expression, list(params) if isinstance(params, tuple) else params)
        except Exception as exc:
            raise sql_error(exc) from exc
        finally:
            self.session.last_query_id = self._sfqid
        self.session.results_cache[self._sfqid] = (result.table, result.rows, None, None, None)
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
        self.check_db_and_schema(expression)
        if isinstance(expression, exp.Copy):
            return self._copy(expression)
        if isinstance(expression, exp.Merge):
            return self._merge(expression, params)
        if isinstance(expression, _CHANGES + _APPENDS):
            mode = LockMode.CHANGE if isinstance(expression, _CHANGES) else LockMode.APPEND
            return session.write(self._target(expression), mode, lambda: self._fakesnow(expression, params))
        if isinstance(expression, _DEFINITIONS):
            return session.define(self._target(expression), lambda: self._fakesnow(expression.copy(), params))
        return self._fakesnow(expression, params)

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
        parts = [p.name if p.args.get("quoted") else p.name.upper() for p in table.parts]
        padded = [self.session.database or "", self.session.schema or ""][: 3 - len(parts)] + parts
        return (padded[0], padded[1], padded[2])
