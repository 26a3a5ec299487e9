"""Measures each side of a benchmark in its own process, and gives all results the same form.

The benchmarks' modules define what they measure; `__main__.py` shows the results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class SideFailed(Exception):
    """A side's process failed; the message has the end of what it wrote."""


@contextmanager
def cloud_of(options: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """The variables of the local cloud to measure on: those in the option `cloud`, or of one made in `folder`."""
    from data_platform_tests.servers.local_cloud import private_cloud

    if "cloud" in options:
        yield options["cloud"]
        return
    cloud = private_cloud(Path(options["folder"]) / "cloud")
    try:
        yield cloud.up()
    finally:
        cloud.down()


def measured(module: str, side: str, options: Mapping[str, Any], *, times: int = 1, by: str = "cpu") -> dict[str, Any]:
    """Runs `sides[side](options)` of a module `times` times, each in a fresh process. Returns the run with the lowest
    `by`: what the side returned, with `cpu` (user and system seconds of the whole process) and `peak_mb`."""
    runs = [_once(module, side, options) for _ in range(times)]
    return min(runs, key=lambda run: float(run[by]))


def side_by_side(module: str, sides: Sequence[str], options: Mapping[str, Any], *, times: int) -> dict[str, Any]:
    """{side: its run with the lowest `cpu`}. The sides take turns, so that a busy minute of the machine costs each of
    them the same."""
    rounds = [{side: _once(module, side, options) for side in sides} for _ in range(times)]
    return {side: min((each[side] for each in rounds), key=lambda run: float(run["cpu"])) for side in sides}


def _once(module: str, side: str, options: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        child = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", module, side, json.dumps(dict(options))],
            cwd=folder,
            env=_environment(Path(folder)),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        raise SideFailed(f"{module} {side}:\n{child.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def _environment(folder: Path) -> dict[str, str]:
    """The platform's default settings, whatever this shell or a running local cloud has set."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "PYTHONPATH": str(ROOT), "DATA_PLATFORM_STATE_DIR": str(folder), "DAGSTER_HOME": str(folder)}


def child(sides: Mapping[str, Any]) -> None:
    """The `__main__` of a benchmark's module: runs one side and prints its figures on the last line."""
    import resource
    import time

    found = sides[sys.argv[1]](json.loads(sys.argv[2])) or {}
    cpu = {"cpu": time.process_time(), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}
    print("\n" + json.dumps({**cpu, **found}))


def result(
    name: str, what: str, *, ours: str, peer: str, ratio: float | None, peak_mb: float | None, target: str, met: bool,
    measured: Mapping[str, Any], floor: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A benchmark's result. `ours` and `peer` are figures with their units; `ratio` says how many times less ours
    costs; `measured` holds every figure; `floor` says, where the target is missed, how low it can go and why."""
    return {
        "name": name,
        "what": what,
        "ours": ours,
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 1),
        "peak_mb": None if peak_mb is None else round(peak_mb),
        "target": target,
        "met": met,
        "floor": floor,
        "measured": _rounded(measured),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
