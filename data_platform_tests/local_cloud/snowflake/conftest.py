"""The servers that these contract tests share: one S3 stand-in, one Snowflake stand-in that reads from it. With `make
test-account`, a real account and its lake take their place."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import BotoCoreError
from obstore.store import ObjectStore, S3Store
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.account import RealAccount
from data_platform_tests.servers.ports import own_port
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer

BUCKET = "contract-lake"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_schemas = itertools.count(1)


@dataclass(frozen=True)
class Lake:
    """A folder of a bucket: of the S3 stand-in, or of the account's lake. `url`: of the folder, as a stage has it;
    `integration`: the storage integration by which Snowflake reads it."""

    url: str
    integration: str
    store: ObjectStore

    def put(self, key: str, table: pa.Table) -> None:
        """Write `table` as one Parquet object."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        obstore.put(self.store, key, buffer.getvalue())


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 stand-in with an empty bucket."""
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
        for tries in range(100):
            try:
                client.create_bucket(Bucket=BUCKET)
                break
            except BotoCoreError:  # the server is not up yet; what matters is whether it comes up at all
                if tries == 99:
                    raise
                time.sleep(0.1)
        yield endpoint
    finally:
        process.terminate()
        process.wait(90)


def bucket(name: str, endpoint: str | None, folder: str) -> ObjectStore:
    """A folder of a bucket of the stand-in, or, without an endpoint, of AWS."""
    if endpoint is None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return S3Store(name, prefix=folder, credential_provider=Boto3CredentialProvider())
    return S3Store(
        name,
        prefix=folder or None,
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


@pytest.fixture
def account(request: pytest.FixtureRequest) -> RealAccount | SnowflakeServer:
    """Where contract tests run: the stand-in, or with `make test-account` a real account."""
    if request.config.getoption("--account", default=False):
        return RealAccount(os.environ)
    server: SnowflakeServer = request.getfixturevalue("snowflake_server")
    return server


@pytest.fixture(scope="session")
def lake(request: pytest.FixtureRequest) -> Iterator[Lake]:
    """The files that COPY reads."""
    if not request.config.getoption("--account", default=False):
        endpoint = request.getfixturevalue("s3_endpoint")
        yield Lake(f"s3://{BUCKET}/", "lake", bucket(BUCKET, endpoint, ""))
        return
    account, folder = RealAccount(os.environ), f"_doctor/contract-{uuid.uuid4().hex[:12]}"
    store = bucket(account.bucket, os.environ.get("AWS_ENDPOINT_URL_S3"), folder)
    yield Lake(f"s3://{account.bucket}/{folder}/", account.integration, store)
    left = [str(item["path"]) for page in obstore.list(store) for item in page]
    obstore.delete(store, left)


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[SnowflakeServer]:
    folder = tmp_path_factory.mktemp("snowflake")
    server = SnowflakeServer(
        folder,
        KeyPair.generate(folder / "keys"),
        s3_endpoint=s3_endpoint,
        s3_environment=CREDENTIALS,
        options=("--lock-timeout", "60"),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(account: RealAccount | SnowflakeServer) -> Iterator[SnowflakeConnection]:
    """A session with a schema of its own as the current one."""
    schema = f"contract_{next(_schemas)}_{os.getpid()}"
    if isinstance(account, RealAccount):
        with account.scratch_schema(f"{schema}_{uuid.uuid4().hex[:8]}") as connection:
            yield connection
        return
    connection = account.connect()
    connection.cursor().execute(f"create schema {schema}")
    yield connection
    connection.close()


@pytest.fixture
def cursor(connection: SnowflakeConnection) -> SnowflakeCursor:
    return connection.cursor()


@pytest.fixture
def other(account: RealAccount | SnowflakeServer, connection: SnowflakeConnection) -> Iterator[SnowflakeCursor]:
    """A cursor of another session in the same schema."""
    (row,) = connection.cursor().execute("select current_schema()").fetchall()  # type: ignore[union-attr]
    with account.connect(schema=row[0]) as another:
        yield another.cursor()
