"""How much memory and time a worker process may take to read a file."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data_platform.feeds.compute import Compute

MIB = 2**20
_LEAST, _MOST = 512 * MIB, 2048 * MIB
"""A worker needs some 350 MiB for an ordinary CSV file of any size, its modules included."""
_SHARES = 3
"""Two workers and the run itself share the run's memory."""
_SECONDS, _SECONDS_PER_MIB = 300, 20
"""Longer than storage takes to give up (`lake.store`), and ten times what the slowest format takes on a slow CPU."""
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of reading one file: `memory` in bytes, `seconds` of wall time."""

    memory: int
    seconds: float


def limits_of(compute: Compute | None, size: int) -> Limits:
    """The limits for a file of `size` bytes, of a feed that declares this compute: a third of the run's memory, but
    512 MiB at least, and at most 2 GiB, or a third of the memory that the feed declares if that is more."""
    declared = (compute.memory if compute else None) or 0
    memory = max(_LEAST, min(run_memory() // _SHARES, max(_MOST, declared * MIB // _SHARES)))
    return Limits(memory, _SECONDS + _SECONDS_PER_MIB * size / MIB)


def memory_to_declare(limits: Limits) -> int:
    """The `compute.memory` in MiB with which a worker has twice this limit."""
    return 2 * _SHARES * limits.memory // MIB


def run_memory() -> int:
    """The bytes of memory that this run has: its container's, or the machine's."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # another version of cgroups, or "max"
            found = min(found, int(path.read_text()))
    return found
