"""A MariaDB, which Debian packages and no Python package brings: `.ci/run` installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest

from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.servers.ports import own_port

_USER = "nobody"
_NO_PASSWORD = "--auth-root-authentication-method=normal"


@dataclass(frozen=True)
class MariaDatabase:
    """A database of a test's own."""

    url: str

    def connect(self) -> Any:
        parts = urlsplit(self.url)
        return pymysql.connect(
            host=parts.hostname, port=parts.port, user=parts.username, database=parts.path[1:] or None, autocommit=True
        )

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Executes statements, and returns the last one's rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def insert(self, table: str, rows: Sequence[tuple[Any, ...]], template: str) -> None:
        """Inserts rows; `template` has a `%s` for each value."""
        with self.connect() as connection, connection.cursor() as cursor:
            # As it is: no date is too odd, and no number is cut.
            cursor.execute("SET sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00'")
            cursor.executemany(f"INSERT INTO {table} VALUES {template}", rows)


@contextmanager
def running_mariadb() -> Iterator[str]:
    """The URL of the superuser of a server that runs in the block, to be completed by a database."""
    for program in ("mariadb-install-db", "mariadbd"):
        assert shutil.which(program), f"no {program}: install mariadb-server-core, as .ci/run does"
    # Not in pytest's folder, which other users may not enter.
    folder, port = Path(tempfile.mkdtemp(prefix="mariadb-")), own_port()
    as_user = [f"--user={_USER}"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, _USER)
    data = f"--datadir={folder}/data"
    server = None
    try:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *as_user, data, "--skip-test-db", _NO_PASSWORD],
            check=True,
            capture_output=True,
        )
        options = (
            f"--socket={folder}/socket",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={folder}/pid",
        )
        quick = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--performance-schema=off")
        with (folder / "log").open("wb") as log:
            command = ["mariadbd", "--no-defaults", *as_user, data, *options, *quick]
            server = subprocess.Popen(command, stdout=log, stderr=log)
        database = MariaDatabase(f"mariadb://root@127.0.0.1:{port}/")
        wait_for(lambda: _answers(database), 60, f"no answer; see {folder}/log")
        yield database.url
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(database: MariaDatabase) -> bool:
    try:
        database.run("SELECT 1")
    except pymysql.err.OperationalError:
        return False
    return True


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """A server's URL, to be completed by a database."""
    with running_mariadb() as url:
        yield url


@pytest.fixture
def maria(mariadb_server: str) -> MariaDatabase:
    """An empty database."""
    name = f"d{uuid.uuid4().hex}"
    MariaDatabase(mariadb_server).run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return MariaDatabase(mariadb_server + name)
