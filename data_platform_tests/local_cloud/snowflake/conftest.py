"""The servers that these contract tests share: one S3 stand-in, one Snowflake stand-in that reads from it."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.servers.ports import own_port
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer

BUCKET = "contract-lake"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_schemas = itertools.count(1)


@dataclass(frozen=True)
class Lake:
    """A bucket of the S3 stand-in."""

    endpoint: str
    store: S3Store

    def put(self, key: str, table: pa.Table) -> None:
        """Write `table` as one Parquet object."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        obstore.put(self.store, key, buffer.getvalue())


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder: Path = tmp_path_factory.mktemp("s3")
    port = own_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        **CREDENTIALS,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "s3",
        "S3_DATA_DIR": str(folder),
        "LOG_LEVEL": "WARNING",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
    try:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        for _ in range(100):
            try:
                client.create_bucket(Bucket=BUCKET)
                break
            except Exception:  # the server is not up yet; what matters is whether it comes up at all
                time.sleep(0.1)
        store = S3Store(
            BUCKET,
            endpoint=endpoint,
            region="us-east-1",
            access_key_id="test",
            secret_access_key="test",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        yield Lake(endpoint, store)
    finally:
        process.terminate()
        process.wait(90)


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory, lake: Lake) -> Iterator[SnowflakeServer]:
    folder = tmp_path_factory.mktemp("snowflake")
    server = SnowflakeServer(
        folder,
        KeyPair.generate(folder / "keys"),
        s3_endpoint=lake.endpoint,
        s3_environment=CREDENTIALS,
        options=("--lock-timeout", "60"),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(snowflake_server: SnowflakeServer) -> Iterator[SnowflakeConnection]:
    """A session with a schema of its own as the current one."""
    connection = snowflake_server.connect()
    connection.cursor().execute(f"create schema contract_{next(_schemas)}_{os.getpid()}")
    yield connection
    connection.close()


@pytest.fixture
def cursor(connection: SnowflakeConnection) -> SnowflakeCursor:
    return connection.cursor()


@pytest.fixture
def other(snowflake_server: SnowflakeServer, connection: SnowflakeConnection) -> Iterator[SnowflakeCursor]:
    """A cursor of another session in the same schema."""
    (row,) = connection.cursor().execute("select current_schema()").fetchall()  # type: ignore[union-attr]
    with snowflake_server.connect(schema=row[0]) as another:
        yield another.cursor()
