"""When tables were created and last altered, which DuckDB does not record.

Only in memory: after a restart both times are the server's start.
"""

from __future__ import annotations

import datetime as dt

from data_platform.local_cloud.snowflake.engine.locks import TableKey


class TableTimes:
    """The times of all tables of one server."""

    def __init__(self) -> None:
        self._start = dt.datetime.now(dt.UTC)
        self._created: dict[TableKey, dt.datetime] = {}
        self._altered: dict[TableKey, dt.datetime] = {}

    def note_created(self, table: TableKey) -> None:
        self._created[table] = self._altered[table] = dt.datetime.now(dt.UTC)

    def note_altered(self, table: TableKey) -> None:
        self._altered[table] = dt.datetime.now(dt.UTC)

    def created(self, table: TableKey) -> dt.datetime:
        return self._created.get(table, self._start)

    def altered(self, table: TableKey) -> dt.datetime:
        return self._altered.get(table, self._start)
