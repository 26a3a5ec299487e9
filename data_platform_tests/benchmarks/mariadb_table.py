"""A table of MariaDB to committed Parquet, beside what people write by hand.

Ours does everything: the catalog, one snapshot, exact types, rejects, zstd Parquet and the manifest with `Lake`. The
peers read the same table to zstd Parquet: PyMySQL row by row with a cursor that streams, and connectorx by Arrow
batches. Their values are compared with ours, column by column. The server is Debian's, on this machine.

    python -m data_platform_tests.benchmarks --only mariadb_table
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from data_platform_tests.benchmarks import runner

NAME = "mariadb_table"
ROWS, QUICK_ROWS = (300_000, 1_200_000), (3_000, 12_000)
PEAK_MB, TIMES_PYMYSQL = 350, 3
COLUMNS = {
    "id": ("int64", "bigint", "seq"),
    "name": ("string", "varchar(50)", "concat('name ', seq)"),
    "amount": ("decimal(14,2)", "decimal(14,2)", "seq * 1.01"),
    "rate": ("decimal(38,10)", "decimal(38,10)", "if(seq % 7 = 0, NULL, seq * 12345678901234567.0123456789)"),
    "counted": ("decimal(20,0)", "bigint unsigned", "18446744073709551615 - seq"),
    "at": ("timestamp", "timestamp(6) NULL", "'2026-01-01' + interval seq second"),
    "local_at": ("timestamp", "datetime(6)", "'2026-01-01' + interval seq second"),
    "day": ("date", "date", "'2020-01-01' + interval seq % 3000 day"),
    "score": ("float", "double", "seq / 7e0"),
    "quantity": ("int32", "int", "seq % 1000"),
    "ok": ("boolean", "boolean", "seq % 3 = 0"),
    "note": ("string", "text", "if(seq % 5 = 0, concat('a note of some length ', seq), NULL)"),
}


def _generate(url: str, table: str, rows: int) -> None:
    from data_platform_tests.servers.mariadb import MariaDatabase

    types = ", ".join(f"`{name}` {type_}" for name, (_, type_, _) in COLUMNS.items())
    made = ", ".join(made for _, _, made in COLUMNS.values())
    MariaDatabase(url).run(
        "SET time_zone = '+00:00'",
        f"CREATE TABLE {table} ({types}, PRIMARY KEY (id))",
        f"INSERT INTO {table} SELECT {made} FROM seq_1_to_{rows}",
    )


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    from obstore.store import LocalStore

    from data_platform.extract.extract import extract
    from data_platform.extract.sql.source import TableSource
    from data_platform.feeds.databases import SqlTableSpec
    from data_platform.lake.extracts import Lake

    columns: list[dict[str, Any]] = [{"name": name, "type": type_} for name, (type_, _, _) in COLUMNS.items()]
    columns[list(COLUMNS).index("local_at")] |= {"time_zone": "UTC"}
    given = {"source": "bench", "table": options["table"], "connection": "bench", "contract": {"columns": columns}}
    source = TableSource(SqlTableSpec.of(given), lambda: options["url"])
    lake = Lake(LocalStore(Path(options["folder"]) / "ours", mkdir=True))
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    manifest = extract(lake, source, slice_, run_id=None)
    return {"rows": manifest.rows, "rejects": manifest.rejects, "wall": time.perf_counter() - begun}


def _pymysql(options: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pymysql
    import pymysql.cursors

    from data_platform.contract import Column

    schema = pa.schema([(name, Column(name=name, type=type_).arrow_type) for name, (type_, _, _) in COLUMNS.items()])
    parts = urlsplit(options["url"])
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 0,
        user=parts.username,
        database=parts.path[1:],
        cursorclass=pymysql.cursors.SSCursor,
    )
    with connection.cursor() as cursor, pq.ParquetWriter(options["file"], schema, compression="zstd") as writer:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"SELECT * FROM {options['table']}")
        ok = schema.get_field_index("ok")
        while rows := cursor.fetchmany(20_000):
            columns = list(zip(*rows, strict=True))
            columns[ok] = tuple(None if value is None else bool(value) for value in columns[ok])
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return {"wall": time.perf_counter() - begun}


def _connectorx(options: dict[str, Any]) -> dict[str, Any]:
    begun = time.perf_counter()
    import connectorx
    import pyarrow.parquet as pq

    url = options["url"].replace("mariadb://", "mysql://")
    # It panics on decimal(38,10), so it gets that column as text.
    selected = ", ".join(f"CAST({name} AS CHAR) AS {name}" if name == "rate" else f"`{name}`" for name in COLUMNS)
    query = f"SELECT {selected} FROM {options['table']}"
    batches = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=20_000)
    with pq.ParquetWriter(options["file"], batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    return {"wall": time.perf_counter() - begun}


SIDES = {"ours": _ours, "pymysql": _pymysql, "connectorx": _connectorx}


def _differing(folder: Path, file: Path) -> list[str]:
    """The columns of a peer's file whose values aren't ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(files: list[Path]) -> pa.Table:
        tables = [pq.read_table(each).select(list(COLUMNS)) for each in files]
        return pa.concat_tables(tables).sort_by("id")

    ours, theirs = read(sorted(folder.rglob("*.parquet"))), read([file])
    found = []
    for name in COLUMNS:
        try:
            equal = theirs.column(name).cast(ours.column(name).type).equals(ours.column(name))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            equal = False
        found += [] if equal else [name]
    return found


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Measures ours at two sizes and the peers at the smaller one, each in a process of its own. `quick`: small
    tables."""
    from data_platform_tests.servers.mariadb import MariaDatabase, running_mariadb

    small, large = QUICK_ROWS if options.get("quick") else ROWS
    folder = Path(options["folder"])
    peers = [name for name in ("pymysql", "connectorx") if find_spec(name)]
    with running_mariadb() as server:
        MariaDatabase(server).run("CREATE DATABASE bench")
        _generate(f"{server}bench", "small", small)
        _generate(f"{server}bench", "large", large)
        given = {"url": f"{server}bench"}
        own = {
            table: runner.measured(__name__, "ours", {**given, "table": table, "folder": str(folder / table)})
            for table in ("small", "large")
        }
        other: dict[str, Any] = {}
        for peer in peers:
            file = folder / f"{peer}.parquet"
            other[peer] = runner.measured(__name__, peer, {**given, "table": "small", "file": str(file)})
            other[peer]["differs"] = _differing(folder / "small", file)
    peak = max(side["peak_mb"] for side in own.values())
    times = other["pymysql"]["cpu"] / own["small"]["cpu"]
    complete = all(
        (side["rows"], side["rejects"]) == (rows, 0) for side, rows in zip(own.values(), (small, large), strict=True)
    )
    met = complete and peak <= PEAK_MB and times >= TIMES_PYMYSQL and not other["pymysql"]["differs"]
    told = [
        f"{peer} {small / side['cpu']:,.0f} per CPU s, peak {side['peak_mb']:.0f} MB"
        + (f", other values in {', '.join(side['differs'])}" if side["differs"] else ", the same values")
        for peer, side in other.items()
    ]
    return runner.result(
        NAME,
        f"A table of MariaDB, {len(COLUMNS)} columns, {small:,} and {large:,} rows, to Parquet",
        ours=f"{large / own['large']['wall']:,.0f} rows/s; {small / own['small']['cpu']:,.0f} and"
        f" {large / own['large']['cpu']:,.0f} per CPU s of ours; peak {own['small']['peak_mb']:.0f} and"
        f" {own['large']['peak_mb']:.0f} MB",
        peer="; ".join(told),
        ratio=times,
        peak_mb=peak,
        target=f"<= {PEAK_MB} MB at any size, >= {TIMES_PYMYSQL}x the rows per CPU s of PyMySQL, the same values",
        met=met,
        measured={"rows": [small, large], "ours": own, **other},
    )


if __name__ == "__main__":
    runner.child(SIDES)
