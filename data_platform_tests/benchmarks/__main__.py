"""Runs the benchmarks and writes the results.

    python -m data_platform_tests.benchmarks [--only NAME [--write]] [--quick] [--whole]

A full run writes docs/benchmarks.json and, from it, docs/benchmarks.md. `--quick` only prints. `--only` prints too,
unless `--write` replaces that benchmark's figures on the page. `--whole` adds the demo's day with 2 million rows, which
takes longer than all the others together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_platform_tests.benchmarks import (
    code_location,
    commands,
    csv_to_parquet,
    database_table,
    history,
    landing_tick,
    ledger_size,
    mariadb_table,
    packing,
    per_table,
    push_to_run,
    small_file,
    table_size,
    unmatched_files,
    whole_path,
)
from data_platform_tests.benchmarks.runner import ROOT

_PACKAGES = ("dagster", "dlt", "connectorx", "pymysql", "duckdb", "pyarrow", "pydantic", "obstore", "boto3")
_PAGE = """\
# Benchmarks

What the platform costs. Each row compares it with a peer in the same run. `make bench` writes this page; nobody edits
it by hand.

{table}

`less` says how many times less ours costs than the first peer: in CPU seconds, but in tasks for packing. Peak memory is
that of our own process. Measured on {machine}, {date}.
{floors}
Each module in `data_platform_tests/benchmarks/` says at its top what exactly it measures.
[benchmarks.json](benchmarks.json) has every figure.

To repeat it on a quiet machine (some minutes):

```
make bench                                                  # writes this page
make bench ARGS=--whole                                     # with the demo's whole day, from SFTP to marts
.venv/bin/python -m data_platform_tests.benchmarks --only landing_tick
.venv/bin/python -m data_platform_tests.benchmarks --quick  # some seconds; the sizes are too small to quote the figures
```
"""


BENCHMARKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "csv_to_parquet": csv_to_parquet.run,
    **database_table.BENCHMARKS,
    "mariadb_table": mariadb_table.run,
    "code_location": code_location.run,
    "per_table": per_table.run,
    "landing_tick": landing_tick.run,
    "small_file": small_file.run,
    "unmatched_files": unmatched_files.run,
    "table_size": table_size.run,
    "history": history.run,
    "ledger_size": ledger_size.run,
    "packing": packing.run,
    "push_to_run": push_to_run.run,
    **commands.COMMANDS,
    "whole_path": whole_path.run,
}
ON_REQUEST = frozenset(("whole_path",))


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | ours | peer | less | peak | target | met |", "|---|---|---|---|---|---|---|"]
    for one in results:
        ratio = f"{one['ratio']}x" if one["ratio"] is not None else ""
        peak = f"{one['peak_mb']} MB" if one["peak_mb"] is not None else ""
        met = ("yes" if one["met"] else "**no**") if one["target"] else ""
        cells = (one["what"], one["ours"], one["peer"], ratio, peak, one["target"], met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def floors(results: list[dict[str, Any]]) -> str:
    """Why targets are missed, as a Markdown section; empty where every target is met."""
    missed = [one for one in results if one["target"] and not one["met"]]
    if not missed:
        return ""
    lines = [f"- **{one['what']}**: {one.get('floor') or 'not explained yet.'}" for one in missed]
    return "\n## Targets that are missed\n\n" + "\n".join(lines) + "\n"


def merged(there: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results on the page, with new ones in place of old ones of the same name."""
    by_name = {one["name"]: one for one in (*there, *new)}
    return [by_name[name] for name in BENCHMARKS if name in by_name]


def machine() -> dict[str, Any]:
    """The machine and the packages that the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m data_platform_tests.benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="run only this one (may be repeated)")
    parser.add_argument("--write", action="store_true", help="with --only: put the figures on the page")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that they run; the figures mean nothing"
    )
    parser.add_argument("--whole", action="store_true", help="also the demo's whole day, from SFTP to marts")
    given = parser.parse_args()
    results = []
    try:
        for name in given.only or [name for name in BENCHMARKS if given.whole or name not in ON_REQUEST]:
            with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
                results.append(BENCHMARKS[name]({"folder": folder, "quick": given.quick}))
            print(
                json.dumps({key: value for key, value in results[-1].items() if key != "measured"}, indent=1),
                flush=True,
            )
    finally:
        commands.end_day()
    print("\n" + table(results))
    if given.quick or (given.only and not given.write):
        return
    here, today = machine(), datetime.now(UTC).date().isoformat()
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    if given.only:
        results = merged(json.loads((docs / "benchmarks.json").read_text())["results"], results)
    report = {"date": today, "machine": here, "results": results}
    (docs / "benchmarks.json").write_text(json.dumps(report, indent=1) + "\n")
    told = f"{here['cores']} cores ({here['processor']}), {here['memory_gib']} GiB, Python {here['python']}"
    (docs / "benchmarks.md").write_text(
        _PAGE.format(table=table(results), floors=floors(results), machine=told, date=today)
    )


if __name__ == "__main__":
    main()
