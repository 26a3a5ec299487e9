"""A PostgreSQL with PostGIS, which Debian packages and no Python package brings: `.ci/run` installs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.servers.ports import own_port
from data_platform_tests.servers.postgres import Database

PROGRAMS = "/usr/lib/postgresql"
_USER = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # for a power cut only: a server that is stopped at once keeps what was committed
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "60",
}


class Postgis:
    """A server on this machine, which a test may stop and start. `folder`: its data."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._as = {"user": _USER, "group": _USER} if os.geteuid() == 0 else {}

    @property
    def url(self) -> str:
        """The superuser's URL, to be completed by a database."""
        return f"postgresql://{_USER}@127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._run("initdb", "-D", data, "-A", "trust", "-U", _USER, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        given = {**_SETTINGS, "port": str(self._port), "unix_socket_directories": str(self._folder)}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [_program("postgres"), "-D", data, *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as)  # type: ignore[call-overload]
        wait_for(self._answers, 60, f"no answer; see {self._folder}/log")

    def stop(self) -> None:
        """Stops it at once, as a crash does: connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def create(self) -> Database:
        """An empty database with PostGIS."""
        name = f"d{uuid.uuid4().hex}"
        connection = psycopg2.connect(f"{self.url}postgres")
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE with_postgis")
        connection.close()
        return Database(self.url + name)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(f"{self.url}postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [_program(program), *map(str, arguments)], check=True, capture_output=True, cwd=self._folder, **self._as
        )  # type: ignore[call-overload]


def _program(name: str) -> Path:
    found = list(Path(PROGRAMS).glob(f"*/bin/{name}"))
    assert found, f"no {PROGRAMS}/*/bin/{name}: install PostgreSQL with PostGIS, as .ci/run does"
    return max(found, key=lambda path: int(path.parts[-3]))


@contextmanager
def running_postgis() -> Iterator[Postgis]:
    """A server that runs in the block."""
    # Not in pytest's folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="postgis-"))
    if os.geteuid() == 0:
        shutil.chown(folder, _USER, _USER)
    server = Postgis(folder, own_port())
    try:
        server.start()
        connection = psycopg2.connect(f"{server.url}postgres")
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE with_postgis")
        connection.close()
        Database(f"{server.url}with_postgis").run("CREATE EXTENSION postgis", "CREATE EXTENSION hstore")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgis_server() -> Iterator[Postgis]:
    """A server with PostGIS."""
    with running_postgis() as server:
        yield server


@pytest.fixture
def postgis(postgis_server: Postgis) -> Database:
    """An empty database with PostGIS."""
    return postgis_server.create()
