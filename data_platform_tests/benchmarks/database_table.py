"""Tables of PostgreSQL to Parquet, of four shapes, beside other readers and the least that any reader must do.

Ours does everything: the catalog, one snapshot, exact types, rejects, zstd Parquet and the manifest with `Lake`; once
in one piece and once in four parts, two at a time. The peers write zstd Parquet too: dlt with its backends pyarrow and
connectorx, connectorx and ADBC alone; they are in the extra `bench`. What each peer wrote is compared with ours, column
by column, cast to our types, JSON as text. Two more sides show the least that any reader must do: `raw_copy` is
`COPY … (FORMAT binary)` of the same table to nowhere, with our driver, which receives rows and drops them; `parquet`
writes the rows that ours has read, from memory. The narrow table is read at two sizes, as memory must not grow with it.
The server is the local cloud's, on this machine.

    python -m data_platform_tests.benchmarks --only database_narrow
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from data_platform_tests.benchmarks import runner

PEAK_MB, OF_RAW_COPY, OF_RAW_IN_PARTS, OF_DLT = 350, 0.65, 0.8, 3.0
PARTS = 4
_NARROW = {
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
_KINDS = ("amount", "at", "day", "score", "quantity", "ok", "note", "tag", "name", "rate")
_WORDS = "(SELECT string_agg(md5((i * 31 + k)::text), ' ') FROM generate_series(1, 12) AS k)"
_DOCUMENT = (
    "jsonb_build_object('id', i, 'name', 'name ' || i, 'price', (i % 1000) / 7.0, 'open', i % 2 = 0, 'tags',"
    " jsonb_build_array('a', i % 17, NULL), 'at', timestamptz '2026-01-01' + i * interval '1 s', 'parts',"
    " (SELECT jsonb_agg(jsonb_build_object('k', k, 'v', md5((i + k)::text))) FROM generate_series(1, 10) AS k))"
)


class Shape(NamedTuple):
    """A table. `columns`: {name: (the contract's type, SQL of the row number i)}. `larger`: how many times as many rows
    the table has whose memory is measured too."""

    name: str
    rows: int
    columns: Mapping[str, tuple[str, str]]
    larger: int = 1


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("narrow", 1_000_000, _NARROW, larger=2),
        Shape(
            "wide",
            50_000,
            {"id": _NARROW["id"]} | {f"c{n}_{kind}": _NARROW[kind] for n in range(1, 200) for kind in [_KINDS[n % 10]]},
        ),
        Shape("json", 100_000, {"id": _NARROW["id"], "document": ("json", _DOCUMENT)}),
        Shape("text", 200_000, {"id": _NARROW["id"], "one": ("string", _WORDS), "other": ("string", _WORDS)}),
    )
}


def _floor(sides: Mapping[str, dict[str, Any]], load: float) -> str:
    """Why a target is missed. `load`: the machine's load average when the benchmark began."""
    cores = os.cpu_count() or 1
    busy = f". The machine was busy with other work (load average {load:.0f})" if load > cores else ""
    server, received = sides["raw_copy"]["server_cpu"], sides["raw_copy"]["read_cpu"]
    written, all_ours = sides["parquet"]["write_cpu"], sides["ours"]["read_cpu"]
    least = max(server, (server + received + written) / cores)
    return (
        f"COPY takes the server {server:.2f} CPU s, receiving the rows {received:.2f}, writing Parquet of the same"
        f" values {written:.2f}: {least:.2f} s at best with {cores} cores, {max(server, received) / least:.2f} of COPY"
        f" to nowhere on a quiet machine. Ours takes {all_ours:.2f} CPU s; what remains is finding and decoding each"
        f" value{busy}"
    )


def _generate(url: str, shape: Shape, table: str, rows: int) -> None:
    import psycopg2

    columns = ", ".join(f"{made} AS {name}" for name, (_, made) in shape.columns.items())
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {rows}) AS i")
    connection.close()


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    from obstore.store import LocalStore

    from data_platform.extract.extract import extract
    from data_platform.extract.sql.postgres.session import PostgresSession  # noqa: F401 - else imported meanwhile
    from data_platform.extract.sql.source import TableSource
    from data_platform.extract.workers import READS_AT_ONCE
    from data_platform.feeds.databases import SqlTableSpec
    from data_platform.lake.extracts import Lake

    begun, cpu = time.perf_counter(), time.process_time()
    shape = SHAPES[options["shape"]]
    columns: list[dict[str, Any]] = [{"name": name, "type": type_} for name, (type_, _) in shape.columns.items()]
    for column in columns:
        if column["name"] == "local_at":
            column |= {"time_zone": "UTC"}
    given = {"source": "bench", "table": options["table"], "connection": "bench", "contract": {"columns": columns}}
    feed = SqlTableSpec.of(given | {"parts": options.get("parts", 1)})
    source = TableSource(feed, lambda: str(options["url"]))
    lake = Lake(LocalStore(Path(options["out"]), mkdir=True))
    slices = list(source.plan(since=None, partition=None, unfinished=()))
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        manifests = list(pool.map(lambda slice_: extract(lake, source, slice_, run_id=None), slices))
    return {
        "rows": sum(manifest.rows for manifest in manifests),
        "rejects": sum(manifest.rejects for manifest in manifests),
        "pieces": len(manifests),
        "wall": time.perf_counter() - begun,
        "read_cpu": time.process_time() - cpu,
        "parquet_mb": sum(manifest.total_bytes for manifest in manifests) / 1e6,
    }


def _in_parts(options: dict[str, Any]) -> dict[str, Any]:
    return _ours(options | {"parts": PARTS})


def _raw_copy(options: dict[str, Any]) -> dict[str, Any]:
    import psutil
    import psycopg2

    begun, cpu = time.perf_counter(), time.process_time()

    class Nowhere:
        def write(self, row: bytes) -> int:
            return len(row)

        def read(self, size: int = -1) -> bytes:
            return b""

    connection = psycopg2.connect(options["url"])
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {options['table']} TO STDOUT (FORMAT binary)", Nowhere())
    found = {"wall": time.perf_counter() - begun, "read_cpu": time.process_time() - cpu}
    times = psutil.Process(connection.info.backend_pid).cpu_times()
    connection.close()
    return {**found, "server_cpu": times.user + times.system}


def _parquet(options: dict[str, Any]) -> dict[str, Any]:
    import pyarrow.parquet as pq
    from obstore.store import LocalStore

    from data_platform.lake.extracts import Lake
    from data_platform.lake.manifest import ExtractKey

    files = sorted(Path(options["read"]).rglob("*.parquet"))
    tables = [pq.ParquetFile(file).read(list(SHAPES[options["shape"]].columns)) for file in files]
    lake = Lake(LocalStore(Path(options["out"]), mkdir=True))
    begun, cpu = time.perf_counter(), time.process_time()
    key = ExtractKey("bench", options["table"], "again", None)
    batches = (batch for table in tables for batch in table.to_batches(16_384))
    lake.write_extract(key, tables[0].schema, batches, contract_hash="")
    return {"wall": time.perf_counter() - begun, "write_cpu": time.process_time() - cpu}


def _written(batches: Any, options: dict[str, Any], begun: float) -> dict[str, Any]:
    import pyarrow.parquet as pq

    folder = Path(options["out"])
    folder.mkdir(parents=True)
    rows = 0
    with pq.ParquetWriter(folder / "part.parquet", batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return {"rows": rows, "wall": time.perf_counter() - begun}


def _adbc(options: dict[str, Any]) -> dict[str, Any]:
    import adbc_driver_postgresql.dbapi as adbc

    begun = time.perf_counter()

    with adbc.connect(options["url"]) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {options['table']}")
        return _written(cursor.fetch_record_batch(), options, begun)


def _connectorx(options: dict[str, Any]) -> dict[str, Any]:
    import connectorx

    begun = time.perf_counter()

    query = f"SELECT * FROM {options['table']}"
    batches = connectorx.read_sql(options["url"], query, return_type="arrow_stream", batch_size=32_768)
    return _written(batches, options, begun)


def _dlt(backend: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def side(options: dict[str, Any]) -> dict[str, Any]:
        import dlt
        from dlt.sources.sql_database import sql_table

        begun = time.perf_counter()

        given = {"chunk_size": 50_000, "reflection_level": "full_with_precision", "backend": backend}
        if backend == "connectorx":
            given["backend_kwargs"] = {"return_type": "arrow_stream", "conn": options["url"]}
        source = sql_table(credentials=options["url"], table=options["table"], **given)
        folder = Path(options["out"])
        pipeline = dlt.pipeline("bench", pipelines_dir=str(folder), destination="duckdb", dataset_name="bench")
        pipeline.extract(source, loader_file_format="parquet")
        pipeline.normalize()
        return {"wall": time.perf_counter() - begun}

    return side


SIDES = {
    "ours": _ours,
    "in_parts": _in_parts,
    "raw_copy": _raw_copy,
    "parquet": _parquet,
    "adbc": _adbc,
    "connectorx": _connectorx,
    "dlt_pyarrow": _dlt("pyarrow"),
    "dlt_connectorx": _dlt("connectorx"),
}
PEERS = {
    "adbc": "adbc_driver_postgresql",
    "connectorx": "connectorx",
    "dlt_pyarrow": "dlt",
    "dlt_connectorx": "dlt",
}
"""Each peer, and its package."""


def _differing(shape: Shape, ours: str, theirs: str) -> dict[str, str]:
    """{column: why} of what a peer wrote otherwise than ours."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def read(folder: str, column: str) -> Any:
        files = sorted(path for path in Path(folder).rglob("*.parquet") if "_dlt_" not in path.name)
        table = pa.concat_tables([pq.ParquetFile(file).read([column, "id"]) for file in files])
        return table[column].take(pc.sort_indices(table["id"]))

    found: dict[str, str] = {}
    for column in shape.columns:
        mine, other = read(ours, column), read(theirs, column)
        try:
            if isinstance(other.type, pa.BaseExtensionType):
                other = pa.chunked_array([chunk.storage for chunk in other.chunks])
            if pa.types.is_timestamp(mine.type) and pa.types.is_timestamp(other.type) and other.type.tz is None:
                other = other.cast(pa.timestamp(other.type.unit, "UTC"))
            same = mine.equals(other.cast(mine.type))
        except pa.ArrowInvalid as error:
            found[column] = f"{other.type}: {str(error)[:60]}"
            continue
        except (pa.ArrowNotImplementedError, KeyError) as error:
            found[column] = f"{other.type}: {str(error)[:60]}"
            continue
        if not same:
            found[column] = str(other.type)
    return found


def run_shape(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Measures a shape. Each side runs twice, in turn, in a process of its own, and the faster run counts;
    dlt runs once. `quick`: small
    tables. Peers that aren't installed are left out."""
    from data_platform_tests.servers.postgres import running_postgres

    shape, quick = SHAPES[name], bool(options.get("quick"))
    rows = shape.rows // 200 if quick else shape.rows
    sides = [
        "raw_copy",
        "ours",
        "in_parts",
        "parquet",
        *(peer for peer, package in PEERS.items() if find_spec(package)),
    ]
    folder, load = Path(options["folder"]), os.getloadavg()[0]
    with running_postgres(folder / f"postgres_{name}") as server:
        url = f"{server}postgres"
        _generate(url, shape, "given", rows)
        best: dict[str, dict[str, Any]] = {}
        for turn in range(1 if quick else 2):
            for side in sides:
                if turn and side.startswith("dlt"):
                    continue  # it takes minutes
                given = {"url": url, "shape": name, "table": "given", "out": str(folder / f"{name}_{side}_{turn}")}
                given |= {"read": str(folder / f"{name}_ours_{turn}")}
                found = runner.measured(__name__, side, given, by="wall")
                if side not in best or found["wall"] < best[side]["wall"]:
                    best[side] = found
        peak = max(best[side]["peak_mb"] for side in ("ours", "in_parts"))
        if shape.larger > 1:
            _generate(url, shape, "larger", rows * shape.larger)
            given = {"url": url, "shape": name, "table": "larger", "out": str(folder / f"{name}_larger")}
            best["larger"] = runner.measured(__name__, "ours", given, by="wall")
            peak = max(peak, best["larger"]["peak_mb"])
    differing = {
        side: _differing(shape, str(folder / f"{name}_ours_0"), str(folder / f"{name}_{side}_0"))
        for side in ("in_parts", *(side for side in PEERS if side in best))
    }
    raw, ours, parts = best["raw_copy"]["wall"], best["ours"]["wall"], best["in_parts"]["wall"]
    dlt = min((best[side]["wall"] for side in PEERS if side.startswith("dlt") and side in best), default=None)
    complete = all(best[side]["rows"] == rows for side in ("ours", "in_parts")) and not differing["in_parts"]
    of_dlt = None if dlt is None else dlt / ours
    met = complete and peak <= PEAK_MB and raw / ours >= OF_RAW_COPY and raw / parts >= OF_RAW_IN_PARTS
    met = met and (of_dlt is None or of_dlt >= OF_DLT)

    def told(side: str) -> str:
        wrong = len(differing.get(side, ()))
        other = f" ({wrong} of {len(shape.columns)} columns differ)" if wrong else ""
        return f"{side.replace('_', ' ')} {rows / best[side]['wall']:,.0f}{other}"

    return runner.result(
        f"database_{name}",
        f"A {name} table of PostgreSQL, {rows:,} x {len(shape.columns)}, to Parquet: rows/s",
        ours=f"{rows / ours:,.0f}, in {PARTS} parts {rows / parts:,.0f}; {raw / ours:.2f} and {raw / parts:.2f} of COPY"
        f" to nowhere; {best['ours']['cpu']:.1f} CPU s",
        peer="; ".join(
            [f"COPY in binary to nowhere {rows / raw:,.0f}", *(told(side) for side in PEERS if side in best)]
        ),
        ratio=min((best[side]["cpu"] for side in PEERS if side.startswith("dlt") and side in best), default=raw)
        / best["ours"]["cpu"],
        peak_mb=peak,
        target=f"<= {PEAK_MB} MB, >= {OF_DLT:g}x dlt, >= {OF_RAW_COPY} of COPY, >= {OF_RAW_IN_PARTS} in parts",
        met=met,
        measured={"rows": rows, "sides": best, "differing": differing, "of_dlt": of_dlt, "load": load},
        floor="" if met else _floor(best, load),
    )


def _runner(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda options: run_shape(name, options)


BENCHMARKS = {f"database_{name}": _runner(name) for name in SHAPES}

if __name__ == "__main__":
    runner.child(SIDES)
