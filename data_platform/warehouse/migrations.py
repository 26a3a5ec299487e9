"""Versions of the PLATFORM schema: ordered, recorded, additive migrations.

Each package that keeps tables there brings its migrations; their numbers give one order for all of them. Rules for a
new one: it takes the next number, only adds (an older run may still be at work), and each of its statements may run
again, because a migration that was cut off runs again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import quoted
from data_platform.warehouse.table import DOES_NOT_EXIST, PLATFORM, TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_TABLE = "MIGRATIONS"
_current: set[str] = set()
"""The databases whose schema this process has found to be its release's."""


class DatabaseNewer(Exception):
    """A newer release has changed the PLATFORM schema. The message says what to deploy."""


class DatabaseOlder(Exception):
    """The PLATFORM schema lacks migrations of this release. The message says how to run them."""


class Migration(NamedTuple):
    """A change of the PLATFORM schema. `statements` returns its SQL for a database."""

    number: int
    name: str
    statements: Callable[[str], Iterable[str]]


def migrate(connection: SnowflakeConnection, database: str, migrations: Iterable[Migration]) -> list[Migration]:
    """Runs the migrations that the database lacks, in order, and returns them. Not within a transaction: DDL commits.
    Raises DatabaseNewer, and changes nothing then."""
    table = TableRef(database, PLATFORM, _TABLE)
    due = missing(connection, database, migrations)
    with connection.cursor() as cursor:
        if due:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database)}.{quoted(PLATFORM)}")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {table.sql} (NUMBER NUMBER(10,0), NAME VARCHAR,"
                " APPLIED_AT TIMESTAMP_TZ(6)) COMMENT = 'Each migration of this schema that has run.'"
            )
        for migration in due:
            for statement in migration.statements(database):
                cursor.execute(statement)
            cursor.execute(
                f"INSERT INTO {table.sql} SELECT %s, %s, CURRENT_TIMESTAMP()", [migration.number, migration.name]
            )
    return due


def missing(connection: SnowflakeConnection, database: str, migrations: Iterable[Migration]) -> list[Migration]:
    """The migrations that the database lacks, in order. Raises DatabaseNewer."""
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    from snowflake.connector import ProgrammingError

    with connection.cursor() as cursor:
        try:
            cursor.execute(f"SELECT NUMBER, NAME FROM {TableRef(database, PLATFORM, _TABLE).sql}")
        except ProgrammingError as refused:
            if refused.errno in DOES_NOT_EXIST:
                return sorted(migrations)
            raise
        recorded = {int(number): str(name) for number, name in cursor.fetchall()}
    known = {migration.number: migration for migration in migrations}
    newer = [f"{number} ({name})" for number, name in sorted(recorded.items()) if number not in known]
    if newer:
        raise DatabaseNewer(
            f"{database}.{PLATFORM} has migrations that this release doesn't know: {', '.join(newer)}. A newer release"
            " has changed it; deploy that release or a later one"
        )
    return [known[number] for number in sorted(known.keys() - recorded.keys())]


def require_current(connection: SnowflakeConnection, database: str, migrations: Iterable[Migration]) -> None:
    """Raises DatabaseOlder or DatabaseNewer unless the PLATFORM schema is this release's. Looks once per process."""
    if database in _current:
        return
    due = missing(connection, database, migrations)
    if due:
        raise DatabaseOlder(
            f"{database}.{PLATFORM} lacks {len(due)} migrations of this release, {due[0].name!r} first; run"
            " `data-platform schema apply`"
        )
    _current.add(database)
