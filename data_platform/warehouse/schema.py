"""Changes a table to match its contract: creates the table, adds missing columns and widens types, but refuses any
change that could lose values. Plans the statements first; `apply_schema` runs them, outside of any transaction (DDL
commits).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import Column, quoted
from data_platform.warehouse.table import DOES_NOT_EXIST, TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


class SchemaRefused(Exception):
    """The contract needs a change that could lose values, or that existing rows don't allow."""


class Change(NamedTuple):
    """A DDL statement and why it is needed."""

    sql: str
    reason: str


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """The changes that make a table match its contract. If there are refusals, there are no changes."""

    table: TableRef
    changes: tuple[Change, ...]
    refusals: tuple[str, ...] = ()


class TableColumn(NamedTuple):
    """A column as DESCRIBE TABLE shows it. `kind` is its type with sizes, such as `NUMBER(10,2)`."""

    name: str
    kind: str
    nullable: bool
    comment: str


def plan_schema(connection: SnowflakeConnection, table: TableRef, columns: Sequence[Column]) -> SchemaPlan:
    """Compares a table with the columns that it should have (`FeedSpec.table_columns`)."""
    return plan_changes(table, read_columns(connection, table), columns)


def apply_schema(connection: SnowflakeConnection, plan: SchemaPlan) -> None:
    """Runs the plan's statements. If the plan has refusals, raises SchemaRefused and runs none."""
    if plan.refusals:
        raise SchemaRefused(f"{plan.table} can't follow its contract:\n" + "\n".join(plan.refusals))
    with connection.cursor() as cursor:
        for change in plan.changes:
            cursor.execute(change.sql)


def read_columns(connection: SnowflakeConnection, table: TableRef) -> list[TableColumn]:
    """The table's columns; an empty list if the table doesn't exist. DESCRIBE costs the same however many tables there
    are; INFORMATION_SCHEMA doesn't."""
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    from snowflake.connector import DictCursor, ProgrammingError

    with connection.cursor(DictCursor) as cursor:
        try:
            cursor.execute(f"DESCRIBE TABLE {table.sql}")
        except ProgrammingError as refused:
            if refused.errno in DOES_NOT_EXIST:
                return []
            raise
        return [
            TableColumn(column["name"], _normal(column["type"]), column["null?"] == "Y", column["comment"] or "")
            for column in cursor.fetchall()
        ]


def plan_changes(table: TableRef, there: Sequence[TableColumn], wanted: Sequence[Column]) -> SchemaPlan:
    """The plan, from the table's columns (empty if the table doesn't exist) and the wanted ones. Their order doesn't
    matter. Columns that the contract no longer has stay in the table."""
    if not there:
        body = ", ".join(_definition(column) for column in wanted)
        return SchemaPlan(
            table,
            (
                Change(
                    f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database)}.{quoted(table.schema)}",
                    "the schema of the source's tables",
                ),
                Change(f"CREATE TABLE IF NOT EXISTS {table.sql} ({body})", "the table doesn't exist"),
            ),
        )
    by_name = {column.name: column for column in there}
    changes: list[Change] = []
    refusals: list[str] = []
    for column in wanted:
        name = column.name.upper()
        old = by_name.get(name)
        if old is None and column.nullable:
            changes.append(
                Change(
                    f"ALTER TABLE {table.sql} ADD COLUMN IF NOT EXISTS {_definition(column)}",
                    f"{name} is new in the contract",
                )
            )
        elif old is None:
            refusals.append(
                f"- {name} is new and may not be null, but existing rows have no value for it. Declare it"
                " `nullable: true`, or drop the table and load its extracts again."
            )
        else:
            _compare(table, old, column, changes, refusals)
    return SchemaPlan(table, () if refusals else tuple(changes), tuple(refusals))


def _compare(table: TableRef, old: TableColumn, column: Column, changes: list[Change], refusals: list[str]) -> None:
    alter = f"ALTER TABLE {table.sql} ALTER COLUMN {column.snowflake_name}"
    kind = _normal(column.snowflake_type)
    if old.kind != kind:
        if _widens(old.kind, kind):
            changes.append(
                Change(f"{alter} SET DATA TYPE {column.snowflake_type}", f"{old.name} is {old.kind}, now {kind}")
            )
        elif not _widens(kind, old.kind):
            refusals.append(
                f"- {old.name} is {old.kind} and the contract says {kind}: Snowflake can't change the type in place"
                " without losing values. Give the new column another name, or drop the table and load its"
                " extracts again."
            )
        else:
            refusals.append(
                f"- {old.name} is {old.kind} and the contract says {kind}, which is narrower: existing values may not"
                f" fit. Make the contract's type at least as wide as {old.kind}."
            )
    if column.nullable and not old.nullable:
        changes.append(Change(f"{alter} DROP NOT NULL", f"{old.name} may be null now"))
    if not column.nullable and old.nullable:
        refusals.append(
            f"- {old.name} may be null in the table, but not in the contract. If no row has a null there, run"
            f" `{alter} SET NOT NULL`; otherwise keep `nullable: true`."
        )
    if column.description and column.description != old.comment:
        changes.append(Change(f"{alter} COMMENT {literal(column.description)}", f"{old.name}'s description changed"))


def _definition(column: Column) -> str:
    parts = [column.snowflake_name, column.snowflake_type]
    parts += ["NOT NULL"] if not column.nullable else []
    parts += [f"COMMENT {literal(column.description)}"] if column.description else []
    return " ".join(parts)


_SIZED = re.compile(r"^(NUMBER|VARCHAR)\((\d+)(?:,(\d+))?\)$")
_LONGEST_TEXT = 16_777_216


def _normal(kind: str) -> str:
    """A type, declared or described, in one spelling: without the fractional digits of seconds, which aren't compared,
    and without a length that is the longest."""
    plain = re.sub(r"^(TIMESTAMP_TZ|TIMESTAMP_NTZ|TIMESTAMP_LTZ|TIME|BINARY)\(\d+\)$", r"\1", kind.replace(" ", ""))
    sized = _SIZED.match(plain)
    return "VARCHAR" if sized and sized[1] == "VARCHAR" and int(sized[2]) >= _LONGEST_TEXT else plain


def _widens(old: str, new: str) -> bool:
    """Whether Snowflake can change `old` to `new` in place without losing values: a NUMBER with higher precision and
    the same scale, or a longer VARCHAR (https://docs.snowflake.com/en/sql-reference/sql/alter-table-column)."""
    before, after = _SIZED.match(old), _SIZED.match(new)
    if before and before[1] == "VARCHAR":
        return new == "VARCHAR" or bool(after and after[1] == "VARCHAR" and int(after[2]) > int(before[2]))
    if before and after and before[1] == after[1] == "NUMBER":
        return before[3] == after[3] and int(after[2]) > int(before[2])
    return False
