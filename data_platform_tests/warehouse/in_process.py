"""The local Snowflake's engine in the tests' own process, with a lake in a folder: for tests of many loads.

The sessions take the statements that the connector would send; what the connector itself does is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.store import LocalStore
from snowflake.connector import DictCursor

from data_platform.lake.extracts import Lake
from data_platform.landing.ledger import MIGRATIONS
from data_platform.local_cloud.snowflake.engine.cursor import Cursor
from data_platform.local_cloud.snowflake.engine.instance import LocalSnowflake
from data_platform.local_cloud.snowflake.engine.results import Result
from data_platform.local_cloud.snowflake.engine.s3 import StageFiles
from data_platform.local_cloud.snowflake.engine.session import Session, SessionContext
from data_platform.warehouse.platform import file_format, stage
from data_platform.warehouse.table import literal

DATABASE = "DATA_PLATFORM"
BUCKET = "lake"


@dataclass(frozen=True)
class Folder(StageFiles):
    """A bucket that is a folder."""

    path: Path = Path()

    @contextmanager
    def fetched(self, urls: Sequence[str]) -> Iterator[list[Path]]:
        yield [self.path / urlsplit(url).path.lstrip("/") for url in urls]


class InProcessCursor:
    """What the platform uses of the connector's cursor. `dicts`: rows are dicts."""

    def __init__(self, session: Session, statements: list[tuple[str, int | None]], *, dicts: bool) -> None:
        self.session = session
        self._statements = statements
        self._dicts = dicts
        self._result: Result | None = None
        self.sfqid = "in-process"

    def execute(self, sql: str, bound: Sequence[Any] | None = None, **_: Any) -> InProcessCursor:
        text = sql % tuple(map(_sql, bound)) if bound else sql
        self._result = Cursor(self.session).run(text)
        self._statements.append((text, self._result.affected))
        return self

    def fetchall(self) -> list[Any]:
        assert self._result is not None
        columns = [column.to_pylist() for column in self._result.table.columns]
        rows = list(zip(*columns, strict=True))
        return [dict(zip(self._result.table.column_names, row, strict=True)) for row in rows] if self._dicts else rows

    @property
    def rowcount(self) -> int | None:
        assert self._result is not None
        return self._result.affected

    @property
    def description(self) -> list[Any]:
        assert self._result is not None
        return [_Described(column["name"]) for column in self._result.rowtype]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def __enter__(self) -> InProcessCursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class _Described:
    name: str


class InProcess:
    """A session, as a connection. `statements`: what was executed, with the number of rows that it changed."""

    def __init__(self, instance: LocalSnowflake) -> None:
        self.instance = instance
        self.statements: list[tuple[str, int | None]] = []
        self._session = Session(instance, DATABASE, None, SessionContext(parameters={"TIMEZONE": "UTC"}))

    def cursor(self, kind: type | None = None) -> InProcessCursor:
        return InProcessCursor(self._session, self.statements, dicts=kind is DictCursor)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.end()


def _sql(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else literal(str(value))


@contextmanager
def in_process(folder: Path) -> Iterator[tuple[InProcess, Lake]]:
    """A session with the platform's tables made, and its lake. Opens those of a folder that has them."""
    new = not (folder / BUCKET).exists()
    (folder / BUCKET).mkdir(exist_ok=True)
    files = Folder(None, None, None, "", folder / BUCKET)
    instance = LocalSnowflake(folder / "databases", files, lock_timeout_seconds=5, memory="1GB")
    try:
        connection = InProcess(instance)
        with connection.cursor() as cursor:
            if new:
                cursor.execute(f"CREATE SCHEMA {DATABASE}.PLATFORM")
                for migration in MIGRATIONS:
                    for statement in migration.statements(DATABASE):
                        cursor.execute(statement)
            cursor.execute(f"CREATE OR REPLACE FILE FORMAT {file_format(DATABASE).sql} TYPE = PARQUET")
            cursor.execute(f"CREATE OR REPLACE STAGE {stage(DATABASE).sql} URL = 's3://{BUCKET}/'")
        yield connection, Lake(LocalStore(folder / BUCKET))
    finally:
        instance.close()
