"""The memory and CPU time that a run has used so far, as metadata that shows whether its task has the right size."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_platform.runs.provenance import commits


def usage_metadata() -> dict[str, Any]:
    """The run's commits, its peak memory in MiB and its CPU seconds: of this process (on ECS, the run's) and of its
    children (dbt; those that have not ended on Linux only). The peak memory is the sum of the processes' own peaks, an
    upper bound if these came at different times."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [_child(child) for child in _descendants(os.getpid())]
    unit = 1 if sys.platform == "linux" else 1024  # ru_maxrss is in KiB on Linux, in bytes on macOS
    peak = own.ru_maxrss // unit + max([ended.ru_maxrss // unit, sum(kibibytes for kibibytes, _ in alive)])
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + sum(used for _, used in alive)
    return {"process_peak_memory_mib": round(peak / 1024, 1), "process_cpu_seconds": round(seconds, 2), **commits()}


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(children).split():
            yield int(child)
            yield from _descendants(int(child))


def _child(pid: int) -> tuple[int, float]:
    """(peak KiB, CPU seconds) of a living process; zeros for one that has ended meanwhile."""
    peak = [line.split()[1] for line in _text(Path(f"/proc/{pid}/status")).splitlines() if line.startswith("VmHWM:")]
    times = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[11:13]
    return int(peak[0]) if peak else 0, sum(int(ticks) for ticks in times) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
