"""The size of a run's task: the largest size that its assets declare, rounded up to one that Fargate offers."""

from __future__ import annotations

from collections.abc import Iterable

from data_platform.environment import settings
from data_platform.feeds.compute import LARGEST, Compute, fit


def largest(declared: Iterable[Compute]) -> Compute:
    """The size of a run: the maximum of each resource over its assets, and on Spot if all of them allow it. DEFAULT for
    resources that no asset declares."""
    all_of_them = list(declared) or [DEFAULT]
    cpu = max(each.cpu or 0 for each in all_of_them) or DEFAULT.cpu or 0
    memory = max(each.memory or 0 for each in all_of_them) or DEFAULT.memory or 0
    cpu, memory = fit(cpu, memory)
    return Compute(
        cpu=cpu,
        memory=memory,
        ephemeral_storage=fit_storage(max(each.ephemeral_storage or 0 for each in all_of_them)) or None,
        spot=all(each.spot for each in all_of_them),
    )


def size_tags(declared: Compute | None) -> dict[str, str]:
    """The tags of an asset that declares this size. None where runs are processes, which have no size."""
    return declared.tags() if declared is not None and settings().runs_on == "ecs" else {}


def fit_storage(gibibytes: int) -> int:
    """The size of the disk in GiB, at most 200. 0 means Fargate's own 20 GiB are enough."""
    return min(max(gibibytes, 21), 200) if gibibytes > 20 else 0


def next_size(cpu: int, memory: int) -> tuple[int, int] | None:
    """The next size after one with too little memory: twice the memory, and the CPU units that this needs. None if it
    was the largest."""
    return fit(cpu, min(memory * 2, LARGEST)) if memory < LARGEST else None


DEFAULT = Compute(cpu=1024, memory=2048)
"""For assets that declare nothing: Python, a driver and dbt fit in, and start in seconds."""
