"""How many requests a service takes in a second."""

from __future__ import annotations

from collections import deque


class Rate:
    """At most `requests` in any second, as of the times (seconds) that `exceeded` is told."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._times: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Whether a request at this time is one too many. It is counted if not."""
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if len(self._times) >= self._requests:
            return True
        self._times.append(now)
        return False

    @property
    def left(self) -> int:
        """How many more there may be in the second of the last request."""
        return self._requests - len(self._times)
