"""One thread that watches running tasks: it kills containers that exceed their memory, and interrupts Spot tasks on a
fault.

Counts the memory that Linux counts against a container's limit and can't reclaim: anonymous and shared pages, shared
ones once (`Pss_Anon`, `Pss_Shmem`). Reading these is slow, so it does so only for tasks whose resident sizes add up to
more than the limit.
"""

# pathlib would cost as much as the rest of a check.
# ruff: noqa: PTH112, PTH123, PTH208

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

from ministack.core.responses import request_scope
from ministack.services import ecs

from data_platform.local_cloud.ecs import faults
from data_platform.local_cloud.ecs.container import Container
from data_platform.local_cloud.ecs.containers import Containers
from data_platform.local_cloud.ecs.lifecycle import Tasks, names_of

logger = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between checks. A container can exceed its limit for that long."""

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
INTERRUPTED = "Your Spot Task was interrupted."

_PAGE = os.sysconf("SC_PAGE_SIZE")


def start(tasks: Tasks, containers: Containers) -> None:
    """Watch until the process ends. Costs nothing while no container runs."""
    threading.Thread(target=_look, args=(tasks, containers), name="ecs-watch", daemon=True).start()


def _look(tasks: Tasks, containers: Containers) -> None:
    while True:
        running = containers.running()
        if not running:
            containers.started.wait()
            containers.started.clear()
            continue
        try:
            _limit_memory(running)
            for container in running:
                if container.headless:
                    _end_left(container)
            if tasks.faults.path.exists():
                _interrupt(tasks, running)
        except Exception:  # go on watching
            logger.exception("could not check the containers; retrying")
        time.sleep(EVERY)


def _limit_memory(running: Iterable[Container]) -> None:
    processes = Processes()
    by_task: dict[str, list[tuple[int, Container]]] = defaultdict(list)
    for container in running:
        used = processes.used(container.pid, container.memory or container.task_memory)
        if container.memory is not None and used > container.memory:
            container.kill(OUT_OF_MEMORY)
        elif container.task_memory is not None:
            by_task[container.task_arn].append((used, container))
    for uses in by_task.values():
        if sum(used for used, _ in uses) > (uses[0][1].task_memory or 0):
            max(uses, key=lambda use: use[0])[1].kill(OUT_OF_MEMORY)


def _end_left(container: Container) -> None:
    """Kill what the container's first process would have killed."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if container.mark in file.read().split(b"\0"):
                os.kill(int(name), signal.SIGKILL)


def _interrupt(tasks: Tasks, running: Iterable[Container]) -> None:
    for container in running:
        parts = container.task_arn.split(":")
        account, region = parts[4], parts[3]
        task = ecs._tasks.get_scoped(account, region, container.task_arn)
        if task is None or task.get("capacityProviderName") != "FARGATE_SPOT" or task["desiredStatus"] == "STOPPED":
            continue
        ran = time.monotonic() - container.started
        with contextlib.suppress(faults.FaultsUnreadable):  # RunTask reports it
            if tasks.faults.take(faults.RUNNING, names_of(task), after=ran):
                with request_scope(account, region):
                    tasks.stop(task, INTERRUPTED, "SpotInterruption")


class Processes:
    """A snapshot of this machine's processes."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = defaultdict(list)
        self._resident: dict[int, int] = {}
        for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                    self._children[int(fields[1])].append(int(name))
                    self._resident[int(name)] = int(fields[21]) * _PAGE

    def used(self, pid: int, limit: int | None) -> int:
        """Bytes that the descendants of a process use: exact above the limit, else an upper bound."""
        found = list(self._children[pid])
        for process in found:
            found += self._children[process]
        resident = sum(self._resident[process] for process in found)
        return resident if limit is None or resident <= limit else sum(map(_own_bytes, found))


def _own_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total
