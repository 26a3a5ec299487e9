"""The one DuckDB behind the server: attached database files, S3, locks.

One directory holds the files: `<DATABASE>.db` for each Snowflake database, and `_fs_global.db` for what spans them
(stages, file formats). Commits survive a kill in DuckDB's write-ahead log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from fakesnow import info_schema, macros
from fakesnow.instance import GLOBAL_DATABASE_NAME, FakeSnow
from fakesnow.transforms import show

from data_platform.local_cloud.snowflake.dialect import functions, geometry, limits, numbers
from data_platform.local_cloud.snowflake.engine import catalog
from data_platform.local_cloud.snowflake.engine.locks import TableLocks
from data_platform.local_cloud.snowflake.engine.s3 import StageFiles
from data_platform.local_cloud.snowflake.engine.times import TableTimes


class NoResults(dict[str, Any]):
    """Where fakesnow would keep every statement's result. Nothing here reads an earlier one."""

    def __setitem__(self, query_id: str, result: Any) -> None:
        pass


class LocalSnowflake(FakeSnow):
    """One local account. Each session is a cursor of the same DuckDB, which isolates their transactions."""

    def __init__(
        self,
        directory: Path,
        files: StageFiles,
        *,
        lock_timeout_seconds: float,
        memory: str,
        idle_in_transaction_seconds: float = 20.0,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.create_database_on_connect = True
        self.create_schema_on_connect = False
        self.db_path = directory
        self.nop_regexes = None
        self.results_cache = NoResults()
        self.files = files
        self.times = TableTimes()
        self._prepared: set[str] = set()
        self.abandon: dict[str, Callable[[float], None]] = {}
        self._idle_seconds = idle_in_transaction_seconds
        self.locks = TableLocks(lock_timeout_seconds, self._free_abandoned)
        self.duck_conn = duckdb.connect(
            ":memory:",
            config={
                # sqlglot writes DuckDB's older arrow lambdas, which fakesnow enables too.
                "lambda_syntax": "ENABLE_SINGLE_ARROW",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": memory,
                "temp_directory": str(directory / "_spill"),
            },
        )
        self.duck_conn.execute("SET GLOBAL TimeZone = 'UTC'")
        self._attach(GLOBAL_DATABASE_NAME)
        self.duck_conn.execute(info_schema.fs_global_creation_sql())
        self.duck_conn.execute(show.fs_global_creation_sql())
        for definitions in (geometry.MACROS, functions.MACROS, limits.MACROS, numbers.MACROS):
            self.duck_conn.execute(definitions)
        self.duck_conn.execute(catalog.VIEWS)
        for file in sorted(directory.glob("*.db")):
            if file.stem != GLOBAL_DATABASE_NAME:
                self._attach(file.stem)
                self.duck_conn.execute(info_schema.per_db_creation_sql(file.stem))
                self.duck_conn.execute(macros.creation_sql(file.stem))
                self.prepare_database(file.stem)

    @cached_property
    def reserved_words(self) -> frozenset[str]:
        """Words that DuckDB accepts as names only in quotes; Snowflake's list is much shorter."""
        found = self.duck_conn.cursor().execute(
            "SELECT upper(keyword_name) FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        )
        return frozenset(word for (word,) in found.fetchall())

    def _free_abandoned(self, token: str) -> None:
        if abandon := self.abandon.get(token):
            abandon(self._idle_seconds)

    def _attach(self, name: str) -> None:
        path = str(Path(str(self.db_path)) / f"{name}.db").replace("'", "''")
        self.duck_conn.execute(f"ATTACH '{path}' AS \"{name}\"")

    def prepare_database(self, name: str) -> None:
        """Create the schemas and views that every database has, once per database."""
        if name not in self._prepared:
            with self.duck_conn.cursor() as cursor:
                cursor.execute(catalog.database_views(name))
            self._prepared.add(name)

    def close(self) -> None:
        """Write everything into the database files and close them."""
        names = self.duck_conn.execute(
            "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL"
        ).fetchall()
        for (name,) in names:
            try:
                self.duck_conn.execute(f'CHECKPOINT "{name}"')
            except duckdb.Error:
                continue  # a transaction is open: the next start replays the database's log
        self.duck_conn.close()
