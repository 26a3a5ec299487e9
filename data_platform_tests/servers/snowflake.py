"""The local stand-in for Snowflake as a process of its own, on a free loopback port.

Use the fixtures by `pytest_plugins` or an import into a conftest: `snowflake_server` starts once a session,
`snowflake_connection` signs in by key pair and ends the session afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from snowflake.connector import SnowflakeConnection

from data_platform.warehouse.arrow_once import read_one_arrow_result
from data_platform_tests.servers.ports import own_port

DATABASE = "DATA_PLATFORM"


@dataclass
class KeyPair:
    """A user's keys as files: the private one for clients, the public one for the server."""

    private_key_path: Path
    public_key_path: Path

    @classmethod
    def generate(cls, folder: Path) -> KeyPair:
        folder.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pair = cls(folder / "snowflake.p8", folder / "snowflake.pub")
        pair.private_key_path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        pair.private_key_path.chmod(0o600)
        pair.public_key_path.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        )
        return pair


@dataclass
class SnowflakeServer:
    """One server process over one folder of databases. `stop` and `kill` leave the folder for the next start."""

    folder: Path
    keys: KeyPair
    s3_endpoint: str | None = None
    s3_environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    port: int = field(default_factory=own_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers. Raises RuntimeError with its log if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "data_platform.local_cloud.snowflake.server"]
        command += ["--port", str(self.port), "--data", str(self.folder / "databases")]
        command += ["--public-key-file", str(self.keys.public_key_path), *self.options]
        if self.s3_endpoint:
            command += ["--s3-endpoint", self.s3_endpoint]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.s3_environment})
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the Snowflake stand-in did not start:\n{self.log.read_text()}")

    def stop(self) -> int:
        """Stop by SIGTERM and return the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Stop by SIGKILL, as a crash would."""
        return self._end(signal.SIGKILL)

    def connect(self, **overrides: Any) -> SnowflakeConnection:
        """Sign in with the real connector; `overrides` are its keyword arguments."""
        read_one_arrow_result()  # tests read in threads
        return snowflake.connector.connect(**{**self.connection_arguments(), **overrides})

    def connection_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `snowflake.connector.connect`."""
        return {
            "account": "local",
            "user": "DATA_PLATFORM",
            "role": "DATA_PLATFORM",
            "warehouse": "DATA_PLATFORM",
            "database": DATABASE,
            "private_key_file": str(self.keys.private_key_path),
            "authenticator": "SNOWFLAKE_JWT",
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
            "login_timeout": 60,
            "network_timeout": 120,
            "timezone": "UTC",  # as the platform's sessions; the account's default is another
        }

    def environment(self) -> dict[str, str]:
        """The platform's settings that reach this server."""
        return {
            "SNOWFLAKE_ACCOUNT": "local",
            "SNOWFLAKE_USER": "DATA_PLATFORM",
            "SNOWFLAKE_ROLE": "DATA_PLATFORM",
            "SNOWFLAKE_WAREHOUSE": "DATA_PLATFORM",
            "SNOWFLAKE_DATABASE": DATABASE,
            "SNOWFLAKE_PRIVATE_KEY_PATH": str(self.keys.private_key_path),
            "SNOWFLAKE_DBT_PRIVATE_KEY_PATH": str(self.keys.private_key_path),
            "SNOWFLAKE_HOST": "127.0.0.1",
            "SNOWFLAKE_PORT": str(self.port),
            "SNOWFLAKE_PROTOCOL": "http",
        }

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.process = None


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnowflakeServer]:
    """One server for the whole test session, without S3."""
    folder = tmp_path_factory.mktemp("snowflake")
    server = SnowflakeServer(folder, KeyPair.generate(folder / "keys"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def snowflake_connection(snowflake_server: SnowflakeServer) -> Iterator[SnowflakeConnection]:
    """A session with the shared server; each test should work in a schema of its own."""
    connection = snowflake_server.connect()
    yield connection
    connection.close()
