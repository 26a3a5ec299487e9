"""A whole platform of a test session's own: its local cloud, its commands as processes, and what its tables hold.

What a test does with it is in the tests. What is asserted here holds for all: no command prints a secret.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data_platform.environment import Settings
from data_platform.environment.connections import CONNECTION
from data_platform.environment.machine import machine_environment
from data_platform.warehouse.connection import connect
from data_platform_tests.servers.commands import ended

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Found = TypeVar("Found")


_USUAL_SECONDS = 0.01
"""What `_work` takes on a machine of its own."""


def _work() -> float:
    """How many seconds some calculating takes now."""
    began = time.perf_counter()
    sum(number * number for number in range(250_000))
    return time.perf_counter() - began


def patience(seconds: float) -> float:
    """A limit in seconds that a machine of its own must keep, lengthened where others keep this one busy, or where it
    is slow by itself: a virtual machine is, without any load that it could see, when its host is busy."""
    slow = min(_work() for _ in range(3)) / _USUAL_SECONDS  # of one, a moment's pause would be most
    return seconds * max(1.0, slow, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(look: Callable[[], Found | None], seconds: float, what: str, every: float = 0.5) -> Found:
    """What `look` finds, as soon as that is not empty, False or None. Raises AssertionError after so many seconds; one
    in which the machine was busy or slow counts as a part of one."""
    began = asked = time.monotonic()
    spent = 0.0
    while True:
        found = look()
        if found:
            return found
        now = time.monotonic()
        if now - asked >= 1:  # to ask takes some milliseconds
            spent, asked = spent + (now - asked) / patience(1), now
        assert spent < seconds, f"{what}: not within {now - began:.0f} s"
        time.sleep(every)


@dataclass(frozen=True)
class Planted:
    """Secrets that must come to light nowhere, by what they are."""

    by_name: Mapping[str, str] = field(repr=False, default_factory=dict)

    def found_in(self, text: str) -> list[str]:
        """Which of them a text gives away."""
        return [name for name, secret in self.by_name.items() if secret in text]


@dataclass(frozen=True)
class Platform:
    """One platform: the variables that reach it, and the secrets among them."""

    environment: Mapping[str, str] = field(repr=False)
    planted: Planted = Planted()

    @classmethod
    def on(cls, cloud: Mapping[str, str]) -> Platform:
        """The platform on a local cloud. Its secrets come as on ECS: as variables, the private key's text included."""
        key = Path(cloud["SNOWFLAKE_PRIVATE_KEY_PATH"]).read_text(encoding="utf-8")
        aws_secret = f"planted-{secrets.token_hex(16)}"
        password = cloud["DAGSTER_POSTGRES_URL"].split("@")[0].rsplit(":", 1)[1]
        environment = {**cloud, "AWS_SECRET_ACCESS_KEY": aws_secret}
        for variable in ("SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY"):
            environment[variable] = key
            del environment[f"{variable}_PATH"]
        planted = {"AWS secret": aws_secret, "Snowflake key": key.splitlines()[3], "Postgres password": password}
        planted |= {name: url.split("@")[0].rsplit(":", 1)[1] for name, url in cloud.items() if CONNECTION in name}
        return cls(environment, Planted(planted))

    @property
    def state_dir(self) -> Path:
        return Path(self.environment["DATA_PLATFORM_STATE_DIR"])

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    @property
    def child_environment(self) -> dict[str, str]:
        """All that a process of the platform is given."""
        return {**machine_environment(), **self.environment, "PYTHONWARNINGS": "ignore"}

    def command(
        self, *arguments: str, cwd: Path = ROOT, seconds: float = 600, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program that is installed beside this Python, and waits for its end. Raises AssertionError for one
        that prints a planted secret."""
        program = BIN / arguments[0]
        done = ended(
            [str(program), *arguments[1:]],
            cwd=cwd,
            environment={**self.child_environment, **variables},
            seconds=patience(seconds),
            log=self.state_dir / "logs" / "run.log",
        )
        told = self.planted.found_in(done.stdout + done.stderr)
        assert not told, f"{' '.join(arguments)} prints {told}"
        return done

    def python(self, script: str, *arguments: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs a script in a process of its own."""
        return self.command("python", "-c", script, *arguments, seconds=seconds)

    @contextmanager
    def snowflake(self) -> Iterator[Any]:
        """A session with the Snowflake double."""
        with connect(self.settings) as connection:
            yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """A query's rows."""
        with self.snowflake() as connection:
            return list(connection.cursor().execute(sql).fetchall())

    def number(self, sql: str) -> int:
        """A query's one number."""
        return int(self.query(sql)[0][0])

    def sftp(self, partner: str, *commands: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A session of OpenSSH's own client: `put`, `ls`, `get` ..., stopping at the first that fails."""
        identity = key or self.state_dir / "keys" / "partners" / partner
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "BatchMode=yes")
        options = (*options, "PreferredAuthentications=publickey", "LogLevel=ERROR")
        return subprocess.run(
            [
                "sftp",
                *("-F", "/dev/null", "-b", "-", "-i", str(identity), "-P", self.environment["SFTP_PORT"]),
                *(part for option in options for part in ("-o", option)),
                f"{partner}@{self.environment['SFTP_HOST']}",
            ],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            timeout=patience(180),
            check=False,
        )

    def drop(self, partner: str, *files: Path) -> None:
        """Delivers files as a partner does. Raises AssertionError where the server refuses."""
        done = self.sftp(partner, *(f"put {file} /inbound/{file.name}" for file in files))
        assert done.returncode == 0, done.stderr

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, by column names in lower case, in an order of their own."""
        with self.snowflake() as connection:
            return _rows(connection, table)

    def snapshot(self, tables: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """All rows of these tables."""
        with self.snowflake() as connection:
            return {table: _rows(connection, table) for table in tables}


def _rows(connection: Any, table: str) -> list[dict[str, Any]]:
    cursor = connection.cursor().execute(f"SELECT * FROM {table}")
    columns = [column.name.lower() for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in sorted(cursor.fetchall(), key=repr)]
