"""Faults on purpose: which of a service's next requests fail, and how."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """After `after` further requests, the next `times` requests are answered with `status`, `body` and `headers`
    instead of the service's answer. `cut`: instead, the connection breaks off in the middle of the service's answer."""

    status: int = 503
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0
    cut: bool = False


class FaultSwitch:
    """The faults that are set, in the order in which they happen. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def set(self, faults: Iterable[Fault]) -> None:
        """Replaces those that are left."""
        with self._lock:
            self._faults = list(faults)

    def next(self) -> Fault | None:
        """What happens to the request that has come."""
        with self._lock:
            if not self._faults:
                return None
            fault = self._faults[0]
            if fault.after > 0:
                fault.after -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._faults.pop(0)
            return fault
