"""A load of 10,000 rows into tables of none, 1 and 10 million rows, from the source to the checks and the preview.

The engine is the local Snowflake, which is DuckDB: its seconds aren't Snowflake's, but it reads what a statement asks
it to read, as Snowflake does. The tables take turns, and the quickest round of each counts. The key has a time in it,
as most have. A key of random values makes the check read the key's column of the whole table; `random_key` times that
check alone.

The peer is what each load did before: it checked the whole table, and sorted it for the preview.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from data_platform_tests.benchmarks import runner

NAME = "table_size"
SIZES, QUICK_SIZES = (0, 1_000_000, 10_000_000), (0, 20_000)
ROUNDS, QUICK_ROUNDS = 7, 1
ROWS = 10_000
FLAT = 1.25
_COLUMNS = [
    {"name": "meter_id", "type": "string", "nullable": False},
    {"name": "read_at", "type": "timestamp", "nullable": False},
    {"name": "reading_id", "type": "string", "nullable": False},
    {"name": "litres", "type": "decimal(12,3)"},
    {"name": "status", "type": "int32"},
]
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


class _Table:
    """A feed's table, whose readings come in hours of ROWS each."""

    def __init__(self, name: str, connect: Callable[[], Any], database: str, lake: Any) -> None:
        from data_platform.automation.feed_keys import raw_key
        from data_platform.feeds.spec import FeedSpec

        contract: Any = {"columns": _COLUMNS, "key": ["meter_id", "read_at"]}
        self.feed = FeedSpec.of({"source": "sized", "table": name, "contract": contract})
        self.key = raw_key(self.feed)
        self.rows = 0
        self._connect, self._database, self._lake = connect, database, lake

    def load(self, rows: int) -> tuple[Any, Any]:
        """The next hours, from their source to the table: the source, and what became of them."""
        from data_platform.extract.ingest import Ingestion

        source = _hours(self.feed, self.rows // ROWS, rows // ROWS)
        ingestion = Ingestion(source, lake=self._lake, connect=self._connect, database=self._database, run_id=None)
        result = ingestion.run()
        ingestion.settle(result)
        self.rows += rows
        if result.table_rows != self.rows:
            raise RuntimeError(f"{result.target} has {result.table_rows} rows, expected {self.rows}")
        self.target, (self.last,) = result.target, result.manifests
        return source, result

    def check(self, source: Any, result: Any, instance: Any) -> None:
        """The run's checks and preview."""
        import dagster as dg

        from data_platform.automation.feed_checks import feed_check_results, feed_check_specs
        from data_platform.lake.preview import preview

        def land(context) -> Iterator[Any]:  # type: ignore[no-untyped-def]
            with self._connect() as connection:
                checks = list(feed_check_results(source, result, connection, self.key, context.instance))
            metadata = {"preview": preview(self._lake, result.manifests, limit=5)}
            yield dg.MaterializeResult(asset_key=self.key, metadata=metadata)
            yield from checks

        assets = dg.multi_asset(specs=[dg.AssetSpec(self.key)], check_specs=feed_check_specs(self.feed))(land)
        done = dg.materialize([assets], instance=instance)
        if not all(each.passed for each in done.get_asset_check_evaluations()):
            raise RuntimeError(f"{self.target} breaks its contract")

    def random_key(self, connection: Any) -> None:
        """The check of the last load, for a key that has no order."""
        from data_platform.contract import Contract

        contract = Contract.model_validate({"columns": _COLUMNS, "key": ["reading_id"]})
        where = f"_EXTRACTED_AT >= '{self.last.started_at.isoformat()}'::TIMESTAMP_TZ"
        connection.cursor().execute(contract.violation_counts_sql(self.target.sql, where)).fetchall()

    def whole(self, connection: Any) -> None:
        """What each load did before."""
        cursor = connection.cursor()
        cursor.execute(self.feed.contract.violation_counts_sql(self.target.sql)).fetchall()
        cursor.execute(f"SELECT * FROM {self.target.sql} ORDER BY _EXTRACTED_AT DESC LIMIT 5").fetchall()


def _hours(feed: Any, first: int, count: int) -> Any:
    """A source of these hours, as one slice."""
    from data_platform.extract.source import Chunk, Slice, Source, extract_id_of

    class Hours(Source):
        contract = feed.contract

        def plan(self, **_: Any) -> list[Slice]:
            return [Slice(extract_id_of(feed.name, first), effective_at=_BEGIN + timedelta(hours=first))]

        @contextmanager
        def open(self, slice_: Slice) -> Iterator[Any]:
            yield self

        def chunks(self) -> Iterator[Chunk]:
            return (Chunk(_hour(feed.contract.arrow_schema, hour)) for hour in range(first, first + count))

        def position(self) -> dict[str, int]:
            return {"hour": first + count}

    return Hours(feed)


def _hour(schema: Any, hour: int) -> Any:
    import numpy as np
    import pyarrow as pa

    digits = np.random.default_rng(hour).bytes(ROWS * 16).hex()
    values = {
        "meter_id": [f"PM-{number:07}" for number in range(ROWS)],
        "read_at": [_BEGIN + timedelta(hours=hour)] * ROWS,
        "reading_id": [digits[place : place + 32] for place in range(0, len(digits), 32)],
        "litres": pa.array(range(ROWS), pa.int64()).cast(pa.decimal128(19, 0)).cast(pa.decimal128(12, 3)),
        "status": [number % 7 for number in range(ROWS)],
    }
    return pa.RecordBatch.from_arrays([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    import dagster as dg
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.environment import Settings
    from data_platform.lake.extracts import Lake
    from data_platform.lake.store import open_bucket
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    settings = Settings.from_environment(options["environment"])
    database = settings.snowflake.database
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    sent: list[str] = []
    execute = SnowflakeCursor.execute

    def noted(cursor: Any, sql: str, *rest: Any, **given: Any) -> Any:
        sent.append(sql)
        return execute(cursor, sql, *rest, **given)

    with (
        connect(settings) as connection,
        dg.DagsterInstance.ephemeral() as instance,
        patch.object(SnowflakeCursor, "execute", noted),
    ):
        ensure_platform(connection, database, settings.lake_bucket, migrations=MIGRATIONS)
        tables = {size: _Table(f"of_{size}", lambda: connect(settings), database, lake) for size in options["sizes"]}
        for size, table in tables.items():
            for start in range(0, size, 1_000_000):
                table.load(min(1_000_000, size - start))
            table.check(*table.load(ROWS), instance)  # the first looks at the whole table
        found: dict[str, Any] = {str(size): {"seconds": 9e9, "client_cpu": 9e9} for size in tables}
        for _ in range(options["rounds"]):
            for size, table in tables.items():
                one = found[str(size)]
                sent.clear()
                began, cpu = time.perf_counter(), time.process_time()
                table.check(*table.load(ROWS), instance)
                one["seconds"] = min(one["seconds"], time.perf_counter() - began)
                one["client_cpu"] = min(one["client_cpu"], time.process_time() - cpu)
                one["statements"] = len(sent)
        for size, table in tables.items():
            found[str(size)]["random_key"] = _quickest(partial(table.random_key, connection), options["rounds"])
            found[str(size)]["whole_table"] = _quickest(partial(table.whole, connection), options["rounds"])
    return {"tables": found}


def _quickest(work: Callable[[], None], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


SIDES = {"ours": _ours}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    quick = options.get("quick")
    given = {"sizes": QUICK_SIZES if quick else SIZES, "rounds": QUICK_ROUNDS if quick else ROUNDS}
    with runner.cloud_of(options) as variables:
        found = runner.measured(__name__, "ours", {**given, "environment": dict(variables)})
    tables = list(found["tables"].values())
    first, last = tables[0], tables[-1]
    flat = {what: last[what] / first[what] for what in ("seconds", "client_cpu")}
    sent = {one["statements"] for one in tables}
    sizes = ", ".join(f"{size / 1e6:g} M" if size else "0" for size in given["sizes"])
    return runner.result(
        NAME,
        f"A load of {ROWS:,} rows with its checks, into tables of {sizes} rows (the engine is the local Snowflake)",
        ours=f"{_each(tables, 'seconds')} s; client {_each(tables, 'client_cpu')} CPU s; {_said(sent)} statements;"
        f" the check alone, were the key random, {_each(tables, 'random_key')} s",
        peer=f"checking and sorting the whole table of {sizes.rsplit(', ')[-1]}: {last['whole_table']:.2f} s",
        ratio=last["whole_table"] / last["seconds"],
        peak_mb=found["peak_mb"],
        target=f"flat: the largest <= {FLAT}x the smallest, as many statements",
        met=max(flat.values()) <= FLAT and len(sent) == 1,
        measured={**found, "largest_by_smallest": flat},
    )


def _each(tables: list[dict[str, Any]], what: str) -> str:
    return ", ".join(f"{one[what]:.2f}" for one in tables)


def _said(numbers: set[int]) -> str:
    return " or ".join(str(number) for number in sorted(numbers))


if __name__ == "__main__":
    runner.child(SIDES)
