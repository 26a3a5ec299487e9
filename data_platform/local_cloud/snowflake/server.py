"""`python -m data_platform.local_cloud.snowflake.server`: the local Snowflake as a process.

S3 credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, never from the command line.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import warnings
from pathlib import Path

import click
import uvicorn

from data_platform.local_cloud.snowflake.engine.instance import LocalSnowflake
from data_platform.local_cloud.snowflake.engine.s3 import StageFiles
from data_platform.local_cloud.snowflake.protocol.app import Server
from data_platform.local_cloud.snowflake.protocol.keypair import RegisteredKey

_LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--port", type=int, required=True, help="TCP port on the loopback address.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of database files."
)
@click.option("--s3-endpoint", envvar="AWS_ENDPOINT_URL", help="URL of the S3 stand-in that stages are read from.")
@click.option("--region", envvar="AWS_REGION", default="us-east-1", show_default=True)
@click.option("--public-key-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="PEM public key.")
@click.option(
    "--lock-timeout", type=float, default=120.0, show_default=True, help="Seconds that a statement waits for a lock."
)
@click.option(
    "--idle-in-transaction", type=float, default=20.0, show_default=True,
    help="Seconds without a statement after which a transaction that others wait for is rolled back.",
)  # fmt: skip
@click.option(
    "--answer-within", type=float, default=45.0, show_default=True,
    help="Seconds after which the answer is that the statement still runs.",
)  # fmt: skip
@click.option("--memory", default="4GB", show_default=True, help="DuckDB's memory limit.")
@click.option("--log-level", default="warning", show_default=True)
def main(
    port: int,
    data: Path,
    s3_endpoint: str | None,
    region: str,
    public_key_file: Path | None,
    lock_timeout: float,
    idle_in_transaction: float,
    answer_within: float,
    memory: str,
    log_level: str,
) -> None:
    """Serve a local stand-in for Snowflake on the loopback address until SIGTERM or SIGINT."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    # DuckDB warns that Arrow results of a plain connection are copied; fakesnow has no other kind.
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    files = StageFiles(
        s3_endpoint, os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY"), region
    )
    instance = LocalSnowflake(
        data, files, lock_timeout_seconds=lock_timeout, memory=memory, idle_in_transaction_seconds=idle_in_transaction
    )
    key = RegisteredKey(public_key_file) if public_key_file else None
    server = Server(instance, key, answer_within_seconds=answer_within)
    # A long statement is a tree of very many objects, and each collection walks all of them.
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    config = uvicorn.Config(
        server.app(),
        host=_LOOPBACK,
        port=port,
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    # uvicorn raises the signal again after it stopped: without a handler, there would be no checkpoint.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


if __name__ == "__main__":
    main()
