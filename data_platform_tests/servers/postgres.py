"""The local cloud's PostgreSQL alone, for tests of what reads a database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from data_platform.local_cloud import keys, processes
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform.local_cloud.postgres import STOP_SIGNAL, SUPERUSER, part
from data_platform_tests.servers.ports import own_port


@dataclass(frozen=True)
class Database:
    """A database of a test's own."""

    url: str

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Executes statements, and returns the last one's rows."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def insert(self, table: str, rows: list[tuple[Any, ...]], template: str | None = None) -> None:
        """Inserts rows; `template` has a `%s` for each value."""
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                psycopg2.extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s", rows, template)
        finally:
            connection.close()


@contextmanager
def running_postgres(state_dir: Path, port: int | None = None) -> Iterator[str]:
    """The URL of the superuser of a server that runs in the block, to be completed by a database. With an earlier one's
    folder and port, the server is that one, started again."""
    layout, port = Layout.at(state_dir), port or own_port()
    server = part(layout, port)
    for folder in (layout.home, layout.data(server.name).parent, layout.record(server.name).parent):
        folder.mkdir(parents=True, exist_ok=True)
    server.prepare()
    record = processes.start(server, layout)
    try:
        processes.wait_until_ready(server, record, seconds=60)
        yield f"postgresql://{SUPERUSER}:{keys.password(layout, SUPERUSER)}@{LOOPBACK}:{port}/"
    finally:
        process = record.process()
        if process is not None:
            processes.stop(process, first=STOP_SIGNAL)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server's URL, to be completed by a database."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def database(postgres_server: str) -> Database:
    """An empty database."""
    name = f"d{uuid.uuid4().hex}"
    connection = psycopg2.connect(f"{postgres_server}postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return Database(postgres_server + name)
