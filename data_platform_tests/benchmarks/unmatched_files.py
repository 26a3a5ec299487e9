"""A partner's misnamed files: what they cost the landing tick, and how fast the partner is told.

Ours is the landing tick over these files and one good one, and the tick of the sensor `unmatched`, which looks up and
writes a report for some of the files, as often as it takes to report all. The local cloud is in other processes; the
client's CPU counts, and for a tick its time. The peer is boto3's HEAD and PUT of a report each, one after the other.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from data_platform_tests.benchmarks import runner

NAME = "unmatched_files"
FILES, QUICK_FILES = 5_000, 30
LANDING_SECONDS, REPORT_SECONDS = 0.2, 3.0


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    from data_platform.automation import landing_sensor, unmatched_sensor
    from data_platform.automation.landing_history import History
    from data_platform.environment import Settings
    from data_platform.feeds.files import FileFeedSpec
    from data_platform.landing.client import open_landing_bucket

    settings = Settings.from_environment(options["environment"])
    bucket = open_landing_bucket(settings, settings.landing_bucket)
    contract: Any = {"columns": [{"name": "id", "type": "string"}]}
    rules = FileFeedSpec.of(
        {"source": "misnamed", "table": "f", "pattern": r"z\.csv", "contract": contract,
         "readiness": {"settle_seconds": 0}}
    )  # fmt: skip
    keys = [f"inbound/misnamed/{at:05}.txt" for at in range(options["files"])]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put(key, b"{}"), [*keys, "inbound/misnamed/z.csv"]))
    landing = []
    for _ in range(3):
        began, cpu = time.monotonic(), time.process_time()
        tick = landing_sensor.tick(bucket, [rules], History, landing_sensor.Cursor(), datetime.now(UTC))
        landing.append({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu})
        if len(tick.requests) != 1:
            raise RuntimeError(f"{len(tick.requests)} runs requested, instead of the good file's")
    cursor, reports, reported, cpu = unmatched_sensor.Cursor(), [], 0, time.process_time()
    while reported < len(keys):
        began = time.monotonic()
        told, cursor = unmatched_sensor.report(bucket, [rules], cursor, datetime.now(UTC))
        reports.append(time.monotonic() - began)
        reported += len(told)
        if not told:
            raise RuntimeError(f"{reported} of {len(keys)} files reported")
    return {
        "landing": min(landing, key=lambda each: each["cpu"]),
        "ticks": len(reports),
        "longest": max(reports),
        "cpu_ms_per_report": (time.process_time() - cpu) * 1000 / reported,
    }


def _boto3(options: dict[str, Any]) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    from data_platform.environment import Settings
    from data_platform.landing.client import s3_client

    settings = Settings.from_environment(options["environment"])
    client, bucket = s3_client(settings), settings.landing_bucket
    files = min(options["files"], 200)
    cpu = time.process_time()
    for at in range(files):
        try:
            client.head_object(Bucket=bucket, Key=f"receipts/peer/{at}.unmatched.json")
        except ClientError:
            client.put_object(Bucket=bucket, Key=f"receipts/peer/{at}.unmatched.json", Body=b"{}")
    return {"cpu_ms_per_report": (time.process_time() - cpu) * 1000 / files}


SIDES = {"ours": _ours, "boto3": _boto3}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    files = QUICK_FILES if options.get("quick") else FILES
    with runner.cloud_of(options) as variables:
        given = {"environment": dict(variables), "files": files}
        own = runner.measured(__name__, "ours", given)
        boto3 = runner.measured(__name__, "boto3", given)
    landing = own["landing"]
    return runner.result(
        NAME,
        f"A landing tick beside {files:,} misnamed files, and the reports of these to their partner",
        ours=f"{landing['seconds']:.2f} s, {landing['cpu']:.2f} CPU s; reported in {own['ticks']} ticks of at most"
        f" {own['longest']:.1f} s, {own['cpu_ms_per_report']:.1f} ms client CPU each",
        peer=f"boto3's HEAD and PUT {boto3['cpu_ms_per_report']:.1f} ms each",
        ratio=boto3["cpu_ms_per_report"] / own["cpu_ms_per_report"],
        peak_mb=own["peak_mb"],
        target=f"landing tick <= {LANDING_SECONDS:g} CPU s, a tick with reports <= {REPORT_SECONDS:g} s",
        met=landing["cpu"] <= LANDING_SECONDS and own["longest"] <= REPORT_SECONDS,
        measured={"ours": own, "boto3": boto3, "files": files},
    )


if __name__ == "__main__":
    runner.child(SIDES)
