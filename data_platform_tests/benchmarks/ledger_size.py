"""A load of a small file whose feed has no past deliveries, and 100,000: from inbound to receipt and archive.

Each side has a database of its own on one local Snowflake. The sides take turns, and the quickest round of each counts.
The engine is DuckDB: its seconds aren't Snowflake's, but both read the columns that a statement asks for. The peer is
one query of the feed's deliveries as they are now, which a load must not need.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from data_platform_tests.benchmarks import runner

NAME = "ledger_size"
PAST, QUICK_PAST = 100_000, 300
ROUNDS, QUICK_ROUNDS = 15, 2
FLAT = 1.25
_COPIES = 100
_BODY = b"id,flow\n" + b"".join(b"PM-%07d,%d\n" % (at, at % 500) for at in range(100))
_COLUMNS = [{"name": "id", "type": "string", "nullable": False}, {"name": "flow", "type": "int32"}]
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.environment import Settings
    from data_platform.extract.ingest import Ingestion
    from data_platform.feeds.files import FileFeedSpec
    from data_platform.lake.extracts import Lake
    from data_platform.lake.store import open_bucket
    from data_platform.landing.client import open_landing_bucket
    from data_platform.landing.ledger import MIGRATIONS, current_deliveries
    from data_platform.landing.source import DeliverySource
    from data_platform.landing.versions import Requested
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    settings = Settings.from_environment(options["environment"])
    contract: Any = {"columns": _COLUMNS}
    feed = FileFeedSpec.of({"source": "ledger", "table": "f", "pattern": r".*\.csv", "contract": contract})
    bucket = open_landing_bucket(settings, settings.landing_bucket)
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    sides = {"LEDGER_OF_NONE": 0, "LEDGER_OF_MANY": options["past"]}
    sent: list[str] = []
    execute = SnowflakeCursor.execute

    def noted(cursor: Any, sql: str, *rest: Any, **given: Any) -> Any:
        sent.append(sql)
        return execute(cursor, sql, *rest, **given)

    def take_in(database: str, number: int) -> None:
        key = f"inbound/ledger/{database}_{number}.csv"
        bucket.put(key, _BODY + f"{database},{number}\n".encode())
        began, cpu = time.perf_counter(), time.process_time()
        source = DeliverySource(feed, [Requested(key)], bucket=bucket, lake=lake, database=database, run_id=None)
        ingestion = Ingestion(source, lake=lake, connect=lambda: connect(settings), database=database, run_id=None)
        sent.clear()
        ingestion.settle(ingestion.run())
        if source.outcomes["loaded"] != 1:
            raise RuntimeError(f"{source.outcomes} of a file")
        one = found.setdefault(database, {"seconds": 9e9, "client_cpu": 9e9})
        one["seconds"] = min(one["seconds"], time.perf_counter() - began)
        one["client_cpu"] = min(one["client_cpu"], time.process_time() - cpu)
        one["statements"] = len(sent)

    found: dict[str, Any] = {}
    with connect(settings) as connection, patch.object(SnowflakeCursor, "execute", noted):
        for database, past in sides.items():
            connection.cursor().execute(f"CREATE DATABASE {database}")
            ensure_platform(connection, database, settings.lake_bucket, migrations=MIGRATIONS)
            take_in(database, -1)  # makes the table, which a ledger with a past expects
            if past:
                _write_past(connection, database, past)
        found.clear()
        for number in range(options["rounds"]):
            for database in sides:
                take_in(database, number)
        began = time.perf_counter()
        view = current_deliveries("LEDGER_OF_MANY").sql
        connection.cursor().execute(f"SELECT * FROM {view} WHERE PARTNER = 'ledger' AND FEED = 'f'").fetchall()
        return {"ledgers": found, "whole": time.perf_counter() - began}


def _write_past(connection: Any, database: str, past: int) -> None:
    """Deliveries that were loaded, and every tenth of them superseded since: a hundredth part, and copies of it."""
    from dataclasses import replace

    from data_platform.landing.ledger import deliveries, write_deliveries
    from data_platform.landing.outcomes import DeliveryRow
    from data_platform.warehouse.ledger import LoadRow, write_loads
    from data_platform.warehouse.platform import loads

    settled: list[DeliveryRow] = []
    loaded: list[LoadRow] = []
    for number in range(past // _COPIES):
        at = _BEGIN + timedelta(hours=number)
        delivery = DeliveryRow(
            delivery_id=f"{number:032x}", partner="ledger", feed="f", file_name=f"past_{number}.csv",
            object_key=f"inbound/ledger/past_{number}.csv", version_id=f"{number:032x}", etag=f'"{number:032x}"',
            size_bytes=len(_BODY), content_sha256=f"{number:032x}", landed_at=at, partition=None, status="loaded",
            reason=None, rows_read=100, rows_loaded=100, rows_rejected=0, extract_id=f"{number:032x}",
            superseded_by=None, run_id="past", settled_at=at,
        )  # fmt: skip
        load = LoadRow(
            extract_id=f"{number:032x}", source="ledger", table_name="f", partition=None, load_mode="append",
            rows_loaded=100, files=1, bytes=1_000, position={"key": delivery.object_key}, contract_hash="0" * 16,
            run_id="past", loaded_at=at, sequence=number + 1, effective_at=at,
        )  # fmt: skip
        settled.append(delivery)
        loaded.append(load)
        if number % 10 == 0:
            later = at + timedelta(hours=1)
            settled.append(replace(delivery, status="superseded", superseded_by="x" * 32, settled_at=later))
            loaded.append(load._replace(removed_at=later))
    with connection.cursor() as cursor:
        write_deliveries(cursor, database, settled)
        write_loads(cursor, database, loaded)
        _copy(cursor, deliveries(database).sql, ("DELIVERY_ID", "FILE_NAME", "CONTENT_SHA256", "EXTRACT_ID"))
        _copy(cursor, loads(database).sql, ("EXTRACT_ID",))


def _copy(cursor: Any, table: str, ids: tuple[str, ...]) -> None:
    """Adds to each record copies with other ids."""
    cursor.execute(f"SELECT * FROM {table} LIMIT 0")
    names = [column.name for column in cursor.description]
    values = ", ".join(f"MD5({name} || COPY.NUMBER)" if name in ids else name for name in names)
    copies = ", ".join(f"({number})" for number in range(1, _COPIES))
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table}"
        f" CROSS JOIN (VALUES {copies}) AS COPY (NUMBER)"
    )


SIDES = {"ours": _ours}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    quick = options.get("quick")
    past = QUICK_PAST if quick else PAST
    given = {"past": past, "rounds": QUICK_ROUNDS if quick else ROUNDS}
    with runner.cloud_of(options) as variables:
        found = runner.measured(__name__, "ours", {**given, "environment": dict(variables)})
    none, many = found["ledgers"].values()
    flat = {what: many[what] / none[what] for what in ("seconds", "client_cpu", "statements")}
    return runner.result(
        NAME,
        f"A file of {len(_BODY) / 1000:.0f} kB alone, from inbound to receipt and archive, after 0 and {past:,}"
        " deliveries of its feed (the engine is the local Snowflake)",
        ours=f"{none['seconds']:.2f}, {many['seconds']:.2f} s; client {none['client_cpu'] * 1000:.0f},"
        f" {many['client_cpu'] * 1000:.0f} ms CPU; {many['statements']} statements",
        peer=f"reading the feed's deliveries: {found['whole']:.2f} s",
        ratio=found["whole"] / many["seconds"],
        peak_mb=found["peak_mb"],
        target=f"flat: <= {FLAT}x",
        met=max(flat.values()) <= FLAT,
        measured={**found, "many_by_none": flat},
        floor="the local Snowflake reads the columns of ids, names and contents whole",
    )


if __name__ == "__main__":
    runner.child(SIDES)
