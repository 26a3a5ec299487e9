"""The cost of a partner's small file: read, extract, load, receipt, archive. Only the CPU per file of our own process
and its workers counts.

Ours loads and settles 200 files of one feed, as one run does; the local cloud is in other processes. The peer is boto3
with only the calls that move a file, in as many threads: get it, put a receipt, copy the exact version, delete it.
Imports, connections and a first file come before the measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from data_platform_tests.benchmarks import runner

NAME = "small_file"
FILES, QUICK_FILES = 200, 3
CPU_MS = 15
_BODY = b"id,flow\n" + b"".join(b"PM-%07d,%d\n" % (at, at % 500) for at in range(100))
_COLUMNS = [{"name": "id", "type": "string", "nullable": False}, {"name": "flow", "type": "int32"}]


def _per_file(work: Callable[[int], Any], files: int) -> dict[str, Any]:
    began = _cpu()
    work(files)
    return {"cpu_ms_per_file": (_cpu() - began) * 1000 / files}


def _cpu() -> float:
    """CPU seconds of this process and of those that it has started."""
    own = psutil.Process()
    used = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in used)


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    from data_platform.environment import Settings
    from data_platform.extract.ingest import Ingestion
    from data_platform.feeds.files import FileFeedSpec
    from data_platform.lake.extracts import Lake
    from data_platform.lake.store import open_bucket
    from data_platform.landing.client import open_landing_bucket
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.landing.source import DeliverySource
    from data_platform.landing.versions import Requested
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    settings = Settings.from_environment(options["environment"])
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
    contract: Any = {"columns": _COLUMNS}
    rules = FileFeedSpec.of({"source": "small", "table": "f", "pattern": r".*\.csv", "contract": contract})
    bucket = open_landing_bucket(settings, settings.landing_bucket)
    lake, database = Lake(open_bucket(settings, settings.lake_bucket)), settings.snowflake.database

    def take_in(keys: list[str]) -> None:
        requested = [Requested(key) for key in keys]
        source = DeliverySource(rules, requested, bucket=bucket, lake=lake, database=database, run_id=None)
        ingestion = Ingestion(source, lake=lake, connect=lambda: connect(settings), database=database, run_id=None)
        ingestion.settle(ingestion.run())
        if source.outcomes["loaded"] != len(keys):
            raise RuntimeError(f"{source.outcomes} of {len(keys)} files")

    keys = [f"inbound/small/{at}.csv" for at in range(options["files"] + 1)]
    for at, key in enumerate(keys):
        bucket.put(key, _BODY + b"PM-%d,1\n" % at)
    take_in(keys[:1])
    return _per_file(lambda files: take_in(keys[1:]), options["files"])


def _boto3(options: dict[str, Any]) -> dict[str, Any]:
    from data_platform.environment import Settings
    from data_platform.landing.client import s3_client

    settings = Settings.from_environment(options["environment"])
    client, bucket = s3_client(settings), settings.landing_bucket

    def move(at: int) -> None:
        key = f"inbound/peer/{at}.csv"
        found = client.get_object(Bucket=bucket, Key=key)
        found["Body"].read()
        client.put_object(Bucket=bucket, Key=f"receipts/peer/{at}.json", Body=b"{}")
        version = found["VersionId"]
        source: Any = {"Bucket": bucket, "Key": key, "VersionId": version}
        client.copy_object(CopySource=source, Bucket=bucket, Key=f"archive/peer/{at}.csv")
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)

    for at in range(options["files"] + 1):
        client.put_object(Bucket=bucket, Key=f"inbound/peer/{at}.csv", Body=_BODY)
    move(options["files"])

    def move_all(files: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(move, range(files)))

    return _per_file(move_all, options["files"])


SIDES = {"ours": _ours, "boto3": _boto3}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    files = QUICK_FILES if options.get("quick") else FILES
    with runner.cloud_of(options) as variables:
        given = {"environment": dict(variables), "files": files}
        own = runner.measured(__name__, "ours", given)
        boto3 = runner.measured(__name__, "boto3", given)
    ours, peer = own["cpu_ms_per_file"], boto3["cpu_ms_per_file"]
    return runner.result(
        NAME,
        f"a file of {len(_BODY) / 1000:.0f} kB, from inbound to receipt and archive, {files} in a run",
        ours=f"{ours:.1f} ms client CPU",
        peer=f"boto3's bare get, put, copy and delete {peer:.1f} ms",
        ratio=peer / ours,
        peak_mb=own["peak_mb"],
        target=f"<= {CPU_MS} ms client CPU",
        met=ours <= CPU_MS,
        measured={"ours": own, "boto3": boto3, "files": files},
        floor=f"boto3's four requests alone take {peer:.1f} ms. Of the rest, handing the file to a worker process, so"
        " that no file can end its run, takes 1 to 3 ms: measured in turns with the commit before there were workers",
    )


if __name__ == "__main__":
    runner.child(SIDES)
