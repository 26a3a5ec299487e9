"""A partner's CSV to committed Parquet and every reject, against dlt's filesystem source and DuckDB destination.

    python -m data_platform_tests.benchmarks.csv_to_parquet [--rows N] [--json FILE] [--peer-python PYTHON]

Both sides read the same generated meter file, each in a process of its own, of which wall time, CPU seconds and
peak memory are taken. Ours is the whole way: hash, parse, convert, reject, zstd Parquet, manifest, by `Lake`. The
peer is dlt's fastest way there is: DuckDB parses, typed by us, and hands over Arrow. It leaves bad rows out, or
lets them in, without a word. dlt is in the extra `bench`; without it the peer is skipped.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = 4_400_000  # about 300 MB
BAD_SHARE = 0.001
COLUMNS = {
    "meter_id": ("string", "VARCHAR"),
    "read_at": ("timestamp", "TIMESTAMPTZ"),
    "reading": ("decimal(12,3)", "DECIMAL(12,3)"),
    "flow": ("int32", "INTEGER"),
    "status": ("string", "VARCHAR"),
    "comment": ("string", "VARCHAR"),
}
MB_PER_SECOND, PEAK_MB, CPU_RATIO = 80, 700, 2.5


def generate(path: Path, rows: int) -> int:
    """Writes the file, the same for the same number of rows. Returns how many of them are bad."""
    chance = random.Random(20260307)
    comments = ["", "", "", "", "pump replaced", "checked by crew", '"leak, reported"', '"said ""fine"""']
    bad = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        lines: list[str] = []
        for at in range(rows):
            row = [
                f"PM-{chance.randrange(1, 200_000):07d}",
                f"2026-03-{at % 28 + 1:02d}T{at % 24:02d}:{at % 60:02d}:00-05:00",
                f"{chance.randrange(10**9) / 1000:.3f}",
                str(chance.randrange(5000)),
                ("ok", "estimated", "missing", "fault")[at % 4],
                comments[at % 8],
            ]
            if chance.random() < BAD_SHARE:
                bad += 1
                _spoil(row, bad % 6)
            lines.append(",".join(row) + "\n")
            if len(lines) == 50_000:
                file.writelines(lines)
                lines.clear()
        file.writelines(lines)
    return bad


def _spoil(row: list[str], how: int) -> None:
    place, value = [
        (0, ""),
        (1, "2026-02-30T00:00:00-05:00"),
        (2, "n/a"),
        (3, "12.5"),
        (4, "ok,extra"),
        (2, "1.23456"),
    ][how]
    row[place] = value


def ours(source: Path, work: Path) -> dict[str, Any]:
    """Runs in a child process."""
    from obstore.store import LocalStore

    from data_platform.lake.extracts import Lake
    from data_platform.lake.manifest import ExtractKey
    from data_platform.landing.feed import FeedRules
    from data_platform.landing.read import DeliveryReader

    columns = [{"name": name, "type": kinds[0], "nullable": name != "meter_id"} for name, kinds in COLUMNS.items()]
    rules = FeedRules.of(
        {"partner": "harbor_water", "name": "meters", "pattern": ".*", "contract": {"columns": columns}}
    )
    lake = Lake(LocalStore(work, mkdir=True))
    with source.open("rb") as stream:
        reader = DeliveryReader(stream, rules, file_name=source.name)
        key = ExtractKey("harbor_water", "meters", "0" * 32, None)
        with lake.extract(key, reader.schema, contract_hash=reader.contract.hash) as writer:
            for chunk in reader:
                writer.write(chunk.batch)
                if chunk.rejects.num_rows:
                    writer.reject(chunk.rejects.rename_columns(["record_number", "column_name", "reason", "raw_text"]))
            writer.commit()
    return {"loaded": reader.rows_read - reader.rows_rejected, "rejected": reader.rows_rejected}


def peer(source: Path, work: Path) -> dict[str, Any]:
    """Runs in a child process."""
    import dlt
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    types = {name: kinds[1] for name, kinds in COLUMNS.items()}
    files = filesystem(bucket_url=source.parent.as_uri(), file_glob=source.name)
    rows = files | read_csv_duckdb(chunk_size=100_000, use_pyarrow=True, ignore_errors=True, header=True, dtype=types)
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.duckdb(str(work / "peer.duckdb")),
        dataset_name="lake",
        pipelines_dir=str(work / "pipelines"),
    )
    pipeline.run(rows.with_name("meters"))
    with pipeline.sql_client() as client, client.execute_query("SELECT COUNT(*) FROM meters") as cursor:
        return {"loaded": cursor.fetchone()[0]}


def _measured(side: str, python: str, source: Path, work: Path) -> dict[str, Any]:
    """Runs one side in a child; its output's last line is its result."""
    command = [python, "-m", "data_platform_tests.benchmarks.csv_to_parquet", "--side", side, str(source), str(work)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    child = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "RUNTIME__LOG_LEVEL": "ERROR", "RUNTIME__DLTHUB_TELEMETRY": "false"},
    )  # fmt: skip
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        raise RuntimeError(f"{side} failed:\n{child.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(child.stdout.strip().splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found | {"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}


def run(options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Options: `rows`, and `peer_python`, an interpreter that has dlt (this one, unless given)."""
    options = options or {}
    rows, peer_python = int(options.get("rows") or ROWS), options.get("peer_python")
    if peer_python is None and importlib.util.find_spec("dlt") is not None:
        peer_python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in" / "meters.csv"
        source.parent.mkdir()
        planted = generate(source, rows)
        megabytes = source.stat().st_size / 1e6
        own = _measured("ours", sys.executable, source, Path(folder) / "ours")
        other = None
        if peer_python:
            (Path(folder) / "peer").mkdir()
            other = _measured("peer", peer_python, source, Path(folder) / "peer")
    own["mb_per_second"] = round(megabytes / own["wall_seconds"], 1)
    complete = own["rejected"] == planted and own["loaded"] + own["rejected"] == rows
    met = complete and own["mb_per_second"] >= MB_PER_SECOND and own["peak_mb"] <= PEAK_MB
    measured: dict[str, Any] = {"file_mb": round(megabytes, 1), "rows": rows, "planted_bad_rows": planted, "ours": own}
    if other:
        ratio = round(other["cpu_seconds"] / own["cpu_seconds"], 2)
        let_in = other["loaded"] - (rows - planted)
        measured |= {"peer": other, "cpu_ratio": ratio, "peer_bad_rows_let_in": let_in}
        met = met and ratio >= CPU_RATIO
    return {
        "name": "csv_to_parquet",
        "target": f">= {MB_PER_SECOND} MB/s, <= {PEAK_MB} MB, every reject, >= {CPU_RATIO}x less CPU than dlt",
        "measured": measured,
        "met": met,
        "skipped": None if other else "peer: dlt is not installed (pip install '.[bench]')",
    }


def _report(result: dict[str, Any]) -> str:
    measured, own = result["measured"], result["measured"]["ours"]
    lines = [
        f"csv_to_parquet  {measured['file_mb']} MB, {measured['rows']} rows, {measured['planted_bad_rows']} bad",
        f"  ours  {own['mb_per_second']} MB/s  {own['cpu_seconds']} CPU s  {own['peak_mb']} MB peak"
        f"  {own['rejected']} rejects",
    ]
    if "peer" in measured:
        other = measured["peer"]
        lines.append(
            f"  dlt   {measured['file_mb'] / other['wall_seconds']:.1f} MB/s  {other['cpu_seconds']} CPU s"
            f"  {other['peak_mb']} MB peak  {measured['peer_bad_rows_let_in']} bad rows let in, the rest dropped unseen"
        )
        lines.append(f"  CPU ratio {measured['cpu_ratio']}")
    else:
        lines.append(f"  skipped: {result['skipped']}")
    return "\n".join([*lines, f"  target {result['target']}: {'met' if result['met'] else 'NOT met'}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer-python", help="an interpreter that has dlt")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side, source, work = given.side
        found = {"ours": ours, "peer": peer}[side](Path(source), Path(work))
        found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
        print(json.dumps(found))
        return
    result = run({"rows": given.rows, "peer_python": given.peer_python})
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))
    print(_report(result))


if __name__ == "__main__":
    main()
