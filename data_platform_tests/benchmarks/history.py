"""A snapshot of a table of which 0.1 % of the rows have changed: load mode `history` beside `replace`.

What counts is what is written to the table: by `history` the end of a version and the beginning of one for each row
that has changed, by `replace` every row, twice, as the old ones are deleted. Both read the whole snapshot from the
lake, `history` into a temporary table. The seconds are those of a load whose extract is in the lake. `late` is the load
of a snapshot that comes after all later ones.

The engine is the local Snowflake, which is DuckDB: its seconds aren't Snowflake's. The modes take turns, and the
quickest round of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from data_platform_tests.benchmarks import runner

NAME = "history"
SIZES, QUICK_SIZES = (100_000, 1_000_000), (10_000, 20_000)
ROUNDS, QUICK_ROUNDS = 3, 2
CHANGED = 1_000
"""One row in so many."""
_COLUMNS = [
    {"name": "permit_id", "type": "int64", "nullable": False},
    {"name": "street", "type": "string"},
    {"name": "holder", "type": "string"},
    {"name": "fee", "type": "decimal(12,2)"},
    {"name": "granted_on", "type": "date"},
    {"name": "revision", "type": "int32"},
]
_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


class _Table:
    """A feed's table, and the snapshots that the lake has of it."""

    def __init__(self, mode: str, size: int, connection: Any, database: str, lake: Any) -> None:
        from data_platform.feeds.spec import FeedSpec
        from data_platform.warehouse.schema import apply_schema, plan_schema
        from data_platform.warehouse.table import raw_table

        contract: Any = {"columns": _COLUMNS, "key": ["permit_id"]}
        self.feed = FeedSpec.of(
            {"source": "snapshots", "table": f"{mode}_{size}", "contract": contract, "load_mode": mode}
        )
        self._size, self._connection, self._database, self._lake = size, connection, database, lake
        self.target = raw_table(database, self.feed.source, self.feed.table)
        apply_schema(connection, plan_schema(connection, self.target, self.feed.table_columns))

    def extract(self, day: int) -> Any:
        """The snapshot of a day: other rows than the day before have changed."""
        from data_platform.lake.manifest import ExtractKey

        return self._lake.write_extract(
            ExtractKey(self.feed.source, self.feed.table, f"{self.feed.table}_{day}"),
            self.feed.contract.arrow_schema,
            _rows(self.feed.contract.arrow_schema, self._size, day),
            contract_hash=self.feed.contract.hash,
            effective_at=_BEGIN + timedelta(days=day),
        )

    def load(self, manifest: Any) -> dict[str, float]:
        """The load's seconds, and the rows that it wrote to the table."""
        from data_platform.warehouse.load import load_extracts

        with _counted(self.target.sql) as written:
            began, cpu = time.perf_counter(), time.process_time()
            load_extracts(self._connection, self._database, self.feed, [manifest], lake=self._lake)
            return {
                "seconds": time.perf_counter() - began,
                "client_cpu": time.process_time() - cpu,
                "rows_written": sum(written) + (manifest.rows if self.feed.load_mode == "replace" else 0),
            }


def _rows(schema: Any, size: int, day: int) -> Iterator[Any]:
    """All rows, of which each day another one in CHANGED is revised."""
    import numpy as np
    import pyarrow as pa

    for start in range(0, size, 100_000):
        ids = np.arange(start, min(size, start + 100_000))
        first_revised = (ids % CHANGED) < day
        values = {
            "permit_id": pa.array(ids),
            "street": pa.array([f"{number % 900} Harbor Street" for number in ids]),
            "holder": pa.array([f"Holder {number * 7919 % 100_003}" for number in ids]),
            "fee": pa.array(ids).cast(pa.decimal128(19, 0)).cast(pa.decimal128(12, 2)),
            "granted_on": pa.array(ids % 20_000, pa.int32()).cast(pa.date32()),
            "revision": pa.array(first_revised.astype("int32")),
        }
        yield pa.RecordBatch.from_arrays([values[field.name].cast(field.type) for field in schema], schema=schema)


@contextmanager
def _counted(table: str) -> Iterator[list[int]]:
    """The rows that each statement writes to the table, without those of COPY INTO."""
    from snowflake.connector.cursor import SnowflakeCursor

    written: list[int] = []
    execute = SnowflakeCursor.execute
    writes = tuple(f"{verb} {table} " for verb in ("INSERT INTO", "MERGE INTO", "DELETE FROM", "UPDATE"))

    def noted(cursor: Any, sql: str, *rest: Any, **given: Any) -> Any:
        answer = execute(cursor, sql, *rest, **given)
        if sql.startswith(writes):
            written.append(cursor.rowcount or 0)
        return answer

    with patch.object(SnowflakeCursor, "execute", noted):
        yield written


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    from data_platform.environment import Settings
    from data_platform.lake.extracts import Lake
    from data_platform.lake.store import open_bucket
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    settings = Settings.from_environment(options["environment"])
    database = settings.snowflake.database
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    found: dict[str, Any] = {}
    with connect(settings) as connection:
        ensure_platform(connection, database, settings.lake_bucket, migrations=MIGRATIONS)
        for size in options["sizes"]:
            tables = {mode: _Table(mode, size, connection, database, lake) for mode in ("history", "replace")}
            rounds: dict[str, list[dict[str, float]]] = {mode: [] for mode in tables}
            days = list(range(options["rounds"] + 1))
            late = 0
            for day in days:
                for mode, table in tables.items():
                    manifest = table.extract(day if day == 0 else day + 1)  # day 1 comes late
                    done = table.load(manifest)
                    if day:
                        rounds[mode].append(done)
            one = {
                mode: {what: min(each[what] for each in times) for what in times[0]} for mode, times in rounds.items()
            }
            late = tables["history"].load(tables["history"].extract(1))
            found[str(size)] = {**one, "late": late}
    return {"tables": found}


SIDES = {"ours": _ours}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    quick = options.get("quick")
    given = {"sizes": QUICK_SIZES if quick else SIZES, "rounds": QUICK_ROUNDS if quick else ROUNDS}
    with runner.cloud_of(options) as variables:
        found = runner.measured(__name__, "ours", {**given, "environment": dict(variables)})
    sizes = {int(size): one for size, one in found["tables"].items()}
    slower = {size: one["history"]["seconds"] / one["replace"]["seconds"] for size, one in sizes.items()}
    largest = sizes[max(sizes)]
    named = " and ".join(f"{size:,}" for size in sizes)
    return runner.result(
        NAME,
        f"A snapshot with one row in {CHANGED:,} changed, into tables of {named} rows (the local Snowflake)",
        ours=f"load mode history: {_each(sizes, 'history')}; a snapshot that comes late: {_each(sizes, 'late')}",
        peer=f"load mode replace: {_each(sizes, 'replace')}",
        ratio=largest["replace"]["seconds"] / largest["history"]["seconds"],
        peak_mb=found["peak_mb"],
        target="two rows written for each that has changed, whatever the table's size",
        met=all(one["history"]["rows_written"] == 2 * (size // CHANGED) for size, one in sizes.items()),
        measured={**found, "history_by_replace": slower},
    )


def _each(sizes: dict[int, dict[str, Any]], what: str) -> str:
    return ", ".join(
        f"{one[what]['rows_written']:,.0f} rows written in {one[what]['seconds']:.2f} s" for one in sizes.values()
    )


if __name__ == "__main__":
    runner.child(SIDES)
