"""Changes a table to match its contract: creates the table, adds and renames columns and widens types, but refuses any
change that could lose values. Plans the statements first; `apply_schema` runs them, outside of any transaction (DDL
commits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import Column, quoted
from data_platform.warehouse.table import DOES_NOT_EXIST, TableRef, feed_of, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


_NOT_IN_PLACE = ": Snowflake can't change the type in place without losing values"


class SchemaRefused(Exception):
    """The contract needs a change that could lose values, or that existing rows don't allow."""


class Change(NamedTuple):
    """A DDL statement and why it is needed."""

    sql: str
    reason: str


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """The changes that make a table match its contract. If there are refusals, there are no changes.

    `notes`: what else follows for the table's rows. `removed`: the columns, in lower case, that the contract no longer
    has; `renamed`: {former name: new name}.
    """

    table: TableRef
    changes: tuple[Change, ...]
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def feed(self) -> str:
        """`<source>/<table>`."""
        return feed_of(self.table)


class TableColumn(NamedTuple):
    """A column as DESCRIBE TABLE shows it. `kind` is its type with sizes, such as `NUMBER(10,2)`."""

    name: str
    kind: str
    nullable: bool
    comment: str


def plan_schema(connection: SnowflakeConnection, table: TableRef, columns: Sequence[Column]) -> SchemaPlan:
    """Compares a table with the columns that it should have (`FeedSpec.table_columns`)."""
    return plan_changes(table, read_columns(connection, table), columns)


def count_nulls(
    connection: SnowflakeConnection, table: TableRef, there: Sequence[TableColumn], wanted: Sequence[Column]
) -> dict[str, int]:
    """{column: its nulls} of the table's columns that may be null there, and not in the contract."""
    required = {column.name.upper() for column in wanted if not column.nullable}
    names = [column.name for column in there if column.nullable and column.name in required]
    if not names:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'COUNT_IF({quoted(name)} IS NULL)' for name in names)} FROM {table.sql}")
        (counts,) = cursor.fetchall()
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


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
            TableColumn(column["name"], normal_type(column["type"]), column["null?"] == "Y", column["comment"] or "")
            for column in cursor.fetchall()
        ]


def plan_changes(
    table: TableRef,
    there: Sequence[TableColumn],
    wanted: Sequence[Column],
    *,
    nulls: Mapping[str, int] | None = None,
    drop_removed: bool = False,
) -> SchemaPlan:
    """The plan, from the table's columns (empty if the table doesn't exist) and the wanted ones. Their order doesn't
    matter.

    A column that the contract no longer has stays in the table, and may be null from then on; with `drop_removed` it is
    dropped. A column that the contract requires, and that has nulls, stays as it is: the contract rejects new rows
    without a value, whatever the table allows. `nulls`: {column: its nulls}, of columns that may be forbidden to have
    any; a load doesn't count them.
    """
    if not there:
        return _creation(table, wanted)
    plan = _Changes(table, nulls or {})
    by_name = {column.name: column for column in there}
    for column in wanted:
        former = next((name.upper() for name in column.renamed_from if name.upper() in by_name), None)
        if former is not None and column.name.upper() not in by_name:
            by_name[column.name.upper()] = plan.rename(by_name.pop(former), column)
    for column in wanted:
        old = by_name.get(column.name.upper())
        plan.add(column) if old is None else plan.compare(old, column)
    names = {column.name.upper() for column in wanted}
    for old in by_name.values():
        if old.name not in names and not old.name.startswith("_"):
            plan.remove(old, drop=drop_removed)
    return plan.plan()


def table_body(columns: Sequence[Column]) -> str:
    """The columns' definitions, for CREATE TABLE."""
    return ", ".join(_definition(column) for column in columns)


def _creation(table: TableRef, wanted: Sequence[Column]) -> SchemaPlan:
    schema = f"CREATE SCHEMA IF NOT EXISTS {quoted(table.database)}.{quoted(table.schema)}"
    return SchemaPlan(
        table,
        (
            Change(schema, "the schema of the source's tables"),
            Change(f"CREATE TABLE IF NOT EXISTS {table.sql} ({table_body(wanted)})", "the table doesn't exist"),
        ),
    )


class _Changes:
    """A plan in the making."""

    def __init__(self, table: TableRef, nulls: Mapping[str, int]) -> None:
        self._table = table
        self._nulls = nulls
        self._changes: list[Change] = []
        self._refusals: list[str] = []
        self._notes: list[str] = []
        self._removed: list[str] = []
        self._renamed: dict[str, str] = {}

    def plan(self) -> SchemaPlan:
        changes = () if self._refusals else tuple(self._changes)
        notes, removed = tuple(self._notes), tuple(self._removed)
        return SchemaPlan(self._table, changes, tuple(self._refusals), notes, removed, self._renamed)

    def add(self, column: Column) -> None:
        self._change(
            f"ADD COLUMN IF NOT EXISTS {_definition(column, nullable=True)}",
            f"{column.name.upper()} is new in the contract",
        )
        if not column.nullable:
            self._notes.append(
                f"{column.name.upper()} is new and may not be null, but the rows that are there have no value for it:"
                f" they keep NULL there, and new rows without a value are rejects. {self._read_again}"
            )

    def rename(self, old: TableColumn, column: Column) -> TableColumn:
        self._renamed[old.name.lower()] = column.name
        self._change(
            f"RENAME COLUMN {quoted(old.name)} TO {column.snowflake_name}",
            f"{old.name} is called {column.name.upper()} now",
        )
        return old._replace(name=column.name.upper())

    def remove(self, old: TableColumn, *, drop: bool) -> None:
        self._removed.append(old.name.lower())
        if drop:
            self._change(f"DROP COLUMN {quoted(old.name)}", f"{old.name} is no longer in the contract")
            return
        if not old.nullable:
            self._change(
                f"ALTER COLUMN {quoted(old.name)} DROP NOT NULL", f"{old.name} is no longer in the contract: it stays"
            )
        self._notes.append(
            f"{old.name} is no longer in the contract: it stays with its values, and new rows have NULL there."
            " `data-platform schema apply --drop-removed` drops it. If it has another name now, declare that with"
            f" `renamed_from: {old.name.lower()}`."
        )

    def compare(self, old: TableColumn, column: Column) -> None:
        alter = f"ALTER COLUMN {column.snowflake_name}"
        kind = normal_type(column.snowflake_type)
        if old.kind != kind:
            if _widens(old.kind, kind):
                self._change(f"{alter} SET DATA TYPE {column.snowflake_type}", f"{old.name} is {old.kind}, now {kind}")
            else:
                narrower = ", which is narrower: existing values may not fit" if _widens(kind, old.kind) else ""
                self._refusals.append(
                    f"- {old.name} is {old.kind} and the contract says {kind}{narrower or _NOT_IN_PLACE}."
                    f" {self._read_again}"
                )
        if column.nullable and not old.nullable:
            self._change(f"{alter} DROP NOT NULL", f"{old.name} may be null now")
        if not column.nullable and old.nullable:
            self._require(old, alter)
        if column.description and column.description != old.comment:
            self._change(f"{alter} COMMENT {literal(column.description)}", f"{old.name}'s description changed")

    def _require(self, old: TableColumn, alter: str) -> None:
        nulls = self._nulls.get(old.name)
        if nulls == 0:
            self._change(f"{alter} SET NOT NULL", f"{old.name} may no longer be null, and no row has a null there")
        elif nulls:
            self._notes.append(
                f"{old.name} may no longer be null. {nulls} rows that are there have NULL, and keep it; new rows"
                f" without a value are rejects. {self._read_again}"
            )

    @property
    def _read_again(self) -> str:
        return f"`data-platform feed re-extract {feed_of(self._table)}` reads the data again under this contract."

    def _change(self, action: str, reason: str) -> None:
        self._changes.append(Change(f"ALTER TABLE {self._table.sql} {action}", reason))


def _definition(column: Column, *, nullable: bool = False) -> str:
    parts = [column.snowflake_name, column.snowflake_type]
    parts += ["NOT NULL"] if not column.nullable and not nullable else []
    parts += [f"COMMENT {literal(column.description)}"] if column.description else []
    return " ".join(parts)


_SIZED = re.compile(r"^(NUMBER|VARCHAR)\((\d+)(?:,(\d+))?\)$")
_LONGEST_TEXT = 16_777_216


def normal_type(kind: str) -> str:
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
