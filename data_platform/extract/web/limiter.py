"""Keeps a service's limit of requests in a second, over all threads of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Limiter:
    """Lets requests go one after another, `per_second` of them at most. Runs don't see each other's: a pool with one
    slot keeps them apart."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 1 / per_second
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = clock()

    def wait(self) -> None:
        """Returns when the next request may go."""
        while True:
            with self._lock:
                now = self._clock()
                rest = self._next - now
                if rest <= 0:
                    self._next = now + self._interval
                    return
            self._sleep(rest)

    def pause(self, seconds: float) -> None:
        """No request goes for so long."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
