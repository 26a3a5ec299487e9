"""Versions of the PLATFORM schema: ordered, recorded, additive migrations.

Each package that keeps tables there brings its migrations; their numbers give one order for all of them. Rules for a
new one: it takes the next number, only adds (an older run may still be at work), and each of its statements may run
again, because a migration that was cut off runs again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import quoted
from data_platform.warehouse.table import PLATFORM, TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


class DatabaseNewer(Exception):
    """A newer release has changed the PLATFORM schema. The message says what to deploy."""


class Migration(NamedTuple):
    """A change of the PLATFORM schema. `statements` returns its SQL for a database."""

    number: int
    name: str
    statements: Callable[[str], Iterable[str]]


def migrate(connection: SnowflakeConnection, database: str, migrations: Iterable[Migration]) -> list[Migration]:
    """Runs the migrations that the database lacks, in order, and returns them. Not within a transaction: DDL commits.
    Raises DatabaseNewer, and changes nothing then."""
    ordered = sorted(migrations)
    table = TableRef(database, PLATFORM, "MIGRATIONS")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*) FROM {quoted(database)}.INFORMATION_SCHEMA.TABLES"
            " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            [PLATFORM, table.table],
        )
        if cursor.fetchall() == [(0,)]:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database)}.{quoted(PLATFORM)}")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {table.sql} (NUMBER NUMBER(10,0), NAME VARCHAR,"
                " APPLIED_AT TIMESTAMP_TZ(6)) COMMENT = 'Each migration of this schema that has run.'"
            )
        cursor.execute(f"SELECT NUMBER, NAME FROM {table.sql}")
        applied = _applied(cursor.fetchall(), ordered, database)
        due = [migration for migration in ordered if migration.number not in applied]
        for migration in due:
            for statement in migration.statements(database):
                cursor.execute(statement)
            cursor.execute(
                f"INSERT INTO {table.sql} SELECT %s, %s, CURRENT_TIMESTAMP()", [migration.number, migration.name]
            )
    return due


def _applied(recorded: Sequence[tuple[int, str]], ordered: Sequence[Migration], database: str) -> set[int]:
    known = {migration.number for migration in ordered}
    newer = sorted((int(number), name) for number, name in recorded if int(number) not in known)
    if newer:
        named = ", ".join(f"{number} ({name})" for number, name in newer)
        raise DatabaseNewer(
            f"{database}.{PLATFORM} has migrations that this release doesn't know: {named}. A newer release has"
            " changed it; deploy that release or a later one"
        )
    return {int(number) for number, _ in recorded}
