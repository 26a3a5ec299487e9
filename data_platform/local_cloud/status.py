"""The state of a part as `data-platform status` shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from data_platform.local_cloud.ports import accepts
from data_platform.local_cloud.processes import Part, PartNotReady, Record

State = Literal["up", "not answering", "dead", "down"]


@dataclass(frozen=True)
class PartStatus:
    """One part. `dead`: its process ended by itself; `down`: it was never started, or was stopped."""

    part: str
    state: State
    pid: int | None
    ports: Mapping[str, int]
    uptime_seconds: float | None
    serves: str


def part_status(part: Part, record: Record | None) -> PartStatus:
    """Check the process, and ask the part itself. Takes two seconds at most."""
    process = record.process() if record else None
    if record is None or process is None:
        state: State = "down" if record is None or record.stopped else "dead"
        return PartStatus(part.name, state, None, part.ports, None, part.serves)
    try:
        part.ready()
        state = "up" if all(accepts(port) for port in part.ports.values()) else "not answering"
    except PartNotReady:
        state = "not answering"
    uptime = round(max(0.0, time.time() - process.create_time()), 1)
    return PartStatus(part.name, state, record.pid, part.ports, uptime, part.serves)
