"""A table of PostgreSQL to committed Parquet, against the least that any reader must do.

Ours does everything: the catalog, one snapshot, exact types, rejects, zstd Parquet and the manifest with `Lake`. The
peer is `COPY … (FORMAT binary)` of the same table to nowhere, with the same driver: it receives rows and drops them.
The table is read at two sizes, as memory must not grow with it. The server is the local cloud's, on this machine.

    python -m data_platform_tests.benchmarks --only database_table
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from data_platform_tests.benchmarks import runner

NAME = "database_table"
ROWS, QUICK_ROWS = (500_000, 2_000_000), (5_000, 20_000)
PEAK_MB, OF_RAW_COPY = 350, 0.65
COLUMNS = {
    "id": ("int64", "i::bigint"),
    "name": ("string", "'name ' || i"),
    "amount": ("decimal(14,2)", "(random() * 1e9)::numeric(14,2)"),
    "rate": ("decimal(20,6)", "CASE WHEN i % 7 > 0 THEN (random() * 1e6)::numeric(20,6) END"),
    "at": ("timestamp", "timestamptz '2026-01-01' + i * interval '977 ms'"),
    "local_at": ("timestamp", "timestamp '2026-01-01' + i * interval '1 s'"),
    "day": ("date", "date '2020-01-01' + i % 3000"),
    "score": ("float", "random()"),
    "quantity": ("int32", "i % 1000"),
    "ok": ("boolean", "i % 3 = 0"),
    "reference": ("string", "gen_random_uuid()"),
    "note": ("string", "CASE WHEN i % 5 = 0 THEN 'a note of some length ' || i END"),
    "tag": ("string", "('t' || i % 17)::varchar(10)"),
}
FLOOR = (
    "For each million rows, receiving them takes about 0.6 CPU s, finding each value in them 0.6, decoding 0.8, and"
    " writing Parquet the rest; the peer only receives them, and both share the cores with the server"
)


def _generate(url: str, table: str, rows: int) -> None:
    import psycopg2

    columns = ", ".join(f"{made} AS {name}" for name, (_, made) in COLUMNS.items())
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {rows}) AS i")
    connection.close()


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    from obstore.store import LocalStore

    from data_platform.extract.extract import extract
    from data_platform.extract.sql.source import TableSource
    from data_platform.feeds.databases import SqlTableSpec
    from data_platform.lake.extracts import Lake

    columns: list[dict[str, Any]] = [{"name": name, "type": type_} for name, (type_, _) in COLUMNS.items()]
    columns[list(COLUMNS).index("local_at")] |= {"time_zone": "America/New_York", "ambiguous": "earliest"}
    given = {"source": "bench", "table": options["table"], "connection": "bench", "contract": {"columns": columns}}
    feed = SqlTableSpec.of(given)
    source = TableSource(feed, lambda: options["url"])
    lake = Lake(LocalStore(Path(options["folder"]) / options["table"], mkdir=True))
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    manifest = extract(lake, source, slice_, run_id=None)
    return {
        "rows": manifest.rows + manifest.rejects,
        "rejects": manifest.rejects,
        "wall": time.perf_counter() - begun,
        "parquet_mb": manifest.total_bytes / 1e6,
    }


def _raw_copy(options: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    import psycopg2

    class Nowhere:
        def write(self, row: bytes) -> int:
            return len(row)

        def read(self, size: int = -1) -> bytes:
            return b""

    connection = psycopg2.connect(options["url"])
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {options['table']} TO STDOUT (FORMAT binary)", Nowhere())
    return {"wall": time.perf_counter() - begun}


SIDES = {"ours": _ours, "raw_copy": _raw_copy}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Measures both at two sizes, each in a process of its own. `quick`: small tables."""
    from data_platform_tests.servers.postgres import running_postgres

    small, large = QUICK_ROWS if options.get("quick") else ROWS
    with running_postgres(Path(options["folder"]) / "postgres") as server:
        url = f"{server}postgres"
        given = {"url": url, "folder": options["folder"]}
        _generate(url, "small", small)
        _generate(url, "large", large)
        own = {
            table: runner.measured(__name__, "ours", {**given, "table": table}, by="wall")
            for table in ("small", "large")
        }
        raw = runner.measured(__name__, "raw_copy", {**given, "table": "large"}, by="wall")
    peak = max(side["peak_mb"] for side in own.values())
    of_raw = raw["wall"] / own["large"]["wall"]
    complete = own["small"]["rows"] == small and own["large"]["rows"] == large
    met = complete and peak <= PEAK_MB and of_raw >= OF_RAW_COPY
    return runner.result(
        NAME,
        f"A table of PostgreSQL, 13 columns, {small:,} and {large:,} rows, to Parquet",
        ours=f"{large / own['large']['wall']:,.0f} rows/s, {large / own['large']['cpu']:,.0f} per CPU s of ours; peak"
        f" {own['small']['peak_mb']:.0f} and {own['large']['peak_mb']:.0f} MB",
        peer=f"COPY in binary to nowhere {large / raw['wall']:,.0f} rows/s",
        ratio=raw["cpu"] / own["large"]["cpu"],
        peak_mb=peak,
        target=f"<= {PEAK_MB} MB at any size, >= {OF_RAW_COPY} of the rows/s of COPY to nowhere",
        met=met,
        measured={"rows": [small, large], "ours": own, "raw_copy": raw, "of_raw_copy": of_raw},
        floor="" if met else FLOOR,
    )


if __name__ == "__main__":
    runner.child(SIDES)
