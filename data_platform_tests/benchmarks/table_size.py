"""A load of 10,000 rows into tables of none, 1 and 10 million rows: the table's columns, the load, its checks, the row
count, the preview.

The engine is the local Snowflake, which is DuckDB: its seconds aren't Snowflake's, but it reads what a statement asks
it to read, as Snowflake does. The tables take turns, and the quickest round of each counts. The key has a time in it,
as most have. A key of random values makes the check read the key's column of the whole table; `random_key` times that
check alone.

The peer is what each load did before: it checked the whole table, and sorted it for the preview.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
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

    def __init__(self, name: str, connection: Any, database: str, lake: Any) -> None:
        from data_platform.automation.feed_keys import raw_key
        from data_platform.feeds.files import FileFeedSpec
        from data_platform.warehouse.table import raw_table

        contract: Any = {"columns": _COLUMNS, "key": ["meter_id", "read_at"]}
        self.rules = FileFeedSpec.of({"source": "sized", "table": name, "pattern": ".*", "contract": contract})
        self.target = raw_table(database, "sized", name)
        self.key = raw_key(self.rules)
        self._connection, self._database, self._lake = connection, database, lake
        self._hours = self._extracts = 0

    def extract(self, rows: int) -> Any:
        """The next hours, in the lake."""
        from data_platform.lake.manifest import ExtractKey

        self._extracts += 1
        key = ExtractKey("sized", self.rules.table, f"{self.rules.table}-{self._extracts:032}")
        batches = [self._hour() for _ in range(rows // ROWS)]
        schema = batches[0].schema
        self.last = self._lake.write_extract(key, schema, batches, contract_hash=self.rules.contract.hash)
        return self.last

    def load(self, manifest: Any) -> Any:
        """The product's steps from an extract to a row count."""
        from data_platform.warehouse.describe import count_rows
        from data_platform.warehouse.load import load_extracts
        from data_platform.warehouse.schema import apply_schema, plan_schema

        apply_schema(self._connection, plan_schema(self._connection, self.target, self.rules.table_columns))
        loaded = load_extracts(self._connection, self._database, self.rules, [manifest], lake=self._lake)
        return loaded, count_rows(self._connection, self.target.sql)

    def check(self, manifest: Any, loaded: Any, instance: Any) -> None:
        """The run's checks and preview."""
        import dagster as dg

        from data_platform.automation.feed_checks import feed_check_results, feed_check_specs
        from data_platform.lake.preview import preview
        from data_platform.landing.result import IntakeResult

        def land(context) -> Iterator[Any]:  # type: ignore[no-untyped-def]
            result = IntakeResult(self.target, manifests=[manifest], loads=[loaded])
            checks = list(feed_check_results(self.rules, result, self._connection, self.key, context.instance))
            yield dg.MaterializeResult(
                asset_key=self.key, metadata={"preview": preview(self._lake, [manifest], limit=5)}
            )
            yield from checks

        assets = dg.multi_asset(specs=[dg.AssetSpec(self.key)], check_specs=feed_check_specs(self.rules))(land)
        done = dg.materialize([assets], instance=instance)
        if not all(each.passed for each in done.get_asset_check_evaluations()):
            raise RuntimeError(f"{self.target} breaks its contract")

    def random_key(self) -> None:
        """The check of the last load, for a key that has no order."""
        from data_platform.contract import Contract

        contract = Contract.model_validate({"columns": _COLUMNS, "key": ["reading_id"]})
        where = f"_EXTRACTED_AT >= '{self.last.started_at.isoformat()}'::TIMESTAMP_TZ"
        self._connection.cursor().execute(contract.violation_counts_sql(self.target.sql, where)).fetchall()

    def whole(self) -> None:
        """What each load did before."""
        cursor = self._connection.cursor()
        cursor.execute(self.rules.contract.violation_counts_sql(self.target.sql)).fetchall()
        cursor.execute(f"SELECT * FROM {self.target.sql} ORDER BY _EXTRACTED_AT DESC LIMIT 5").fetchall()

    def _hour(self) -> Any:
        import numpy as np
        import pyarrow as pa

        schema = self.rules.contract.arrow_schema
        extra = pa.schema([pa.field("_delivery_id", pa.string(), False), pa.field("_record_number", pa.int64(), False)])
        at = _BEGIN + timedelta(hours=self._hours)
        digits = np.random.default_rng(self._hours).bytes(ROWS * 16).hex()
        values = {
            "meter_id": [f"PM-{number:07}" for number in range(ROWS)],
            "read_at": [at] * ROWS,
            "reading_id": [digits[place : place + 32] for place in range(0, len(digits), 32)],
            "litres": pa.array(range(ROWS), pa.int64()).cast(pa.decimal128(19, 0)).cast(pa.decimal128(12, 3)),
            "status": [number % 7 for number in range(ROWS)],
            "_delivery_id": ["d"] * ROWS,
            "_record_number": range(ROWS),
        }
        self._hours += 1
        whole = pa.schema([*schema, *extra])
        return pa.RecordBatch.from_arrays(
            [pa.array(values[name], whole.field(name).type) for name in whole.names], schema=whole
        )


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
        tables = {size: _Table(f"of_{size}", connection, database, lake) for size in options["sizes"]}
        for size, table in tables.items():
            for start in range(0, size, 1_000_000):
                table.load(table.extract(min(1_000_000, size - start)))
            first = table.extract(ROWS)
            loaded, _ = table.load(first)
            table.check(first, loaded, instance)  # the first looks at the whole table
        found: dict[str, Any] = {str(size): {"seconds": 9e9, "load": 9e9, "client_cpu": 9e9} for size in tables}
        for _ in range(options["rounds"]):
            for size, table in tables.items():
                one = found[str(size)]
                manifest = table.extract(ROWS)
                sent.clear()
                began, cpu = time.perf_counter(), time.process_time()
                loaded, rows = table.load(manifest)
                between = time.perf_counter()
                table.check(manifest, loaded, instance)
                one["seconds"] = min(one["seconds"], time.perf_counter() - began)
                one["load"] = min(one["load"], between - began)
                one["client_cpu"] = min(one["client_cpu"], time.process_time() - cpu)
                one |= {"rows": rows, "statements": len(sent)}
        for size, table in tables.items():
            found[str(size)]["random_key"] = _quickest(table.random_key, options["rounds"])
            found[str(size)]["whole_table"] = _quickest(table.whole, options["rounds"])
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
