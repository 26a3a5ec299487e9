"""How many requests a service takes in a second."""

from __future__ import annotations

from collections import deque
from math import ceil


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


class Burst:
    """`requests` at once, and as many in each `seconds` in the long run: the generic cell rate algorithm, as CARTO
    describes it (https://carto.com/developers/sql-api/support/rate-limiting)."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests, self._each = requests, seconds / requests
        self._full_at = float("-inf")

    def ask(self, now: float) -> tuple[bool, dict[str, str]]:
        """Whether a request at this time is one too many, and CARTO's headers. It is counted if not."""
        start = max(self._full_at, now)
        wait = round(start + self._each - now - self._requests * self._each, 6)
        over = wait > 0
        if not over:
            self._full_at = start + self._each
        used = max(self._full_at - now, 0.0)
        headers = {
            "Carto-Rate-Limit-Limit": str(self._requests),
            "Carto-Rate-Limit-Remaining": str(int(self._requests - used / self._each + 1e-9)),
            "Carto-Rate-Limit-Reset": str(ceil(used)),
            "Retry-After": str(ceil(wait)) if over else "-1",
        }
        return over, headers
