"""CARTO's SQL API, version 2: statements and COPY, within its limits, repeated where that is safe.

Its documentation: https://carto.com/developers/sql-api/guides/making-calls, /guides/copy-queries and
/support/rate-limiting.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

from data_platform.environment.rules import is_loopback
from data_platform.extract.web.client import Address, ApiFailed
from data_platform.extract.web.limiter import Limiter
from data_platform.publish.target import PublicationFailed

REQUESTS_A_SECOND = 15.0
"""Of an enterprise plan; others allow 6, and are told by 429 to wait."""
LARGEST_STATEMENT = 1_000_000
"""Bytes: "Maximum POST payload 1MB" (https://carto.com/help/getting-started/limits)."""
ATTEMPTS = 6
LONGEST_WAIT = 300.0
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_ADVICE = {
    401: "the connection's key is wrong, or was revoked; make another master API key and put it in the connection",
    403: "the connection's key may not do this; it must be a master API key",
    404: "the connection's address has no SQL API; check it",
}
_STATEMENT = httpx.Timeout(330.0, connect=15.0)
"""Longer than CARTO lets a statement run, so that its own error arrives."""
_COPY = httpx.Timeout(600.0, connect=15.0)


class Refused(PublicationFailed):
    """CARTO refused a request, and would refuse it again."""


class BrokenOff(PublicationFailed):
    """No answer: what the request did isn't known."""


class CartoClient:
    """Calls one account. `clock` and `sleep`: seconds. `jitter`: from 0 to 1."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        try:
            self.address = Address.of(url)
        except ApiFailed as error:
            raise PublicationFailed(f"CARTO: {error}") from None
        self._sleep, self._jitter = sleep, jitter
        self._limiter = Limiter(REQUESTS_A_SECOND, clock=clock, sleep=sleep)
        # A redirect isn't followed: it would take the key elsewhere.
        self._http = httpx.Client(trust_env=not is_loopback(self.address.url))

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def rows(self, statement: str, subject: str) -> list[dict[str, Any]]:
        """The rows of a statement that may be repeated: where no answer comes, it is sent again. `subject` begins
        errors. Raises Refused and BrokenOff."""
        if len(statement.encode()) > LARGEST_STATEMENT:
            raise Refused(f"{subject}: the statement is larger than the 1 MB that CARTO takes; publish fewer columns")

        def send() -> httpx.Response:
            form = {"q": statement, "api_key": self.address.secret}
            return self._http.post(f"{self.address.url}/api/v2/sql", data=form, timeout=_STATEMENT)

        found: list[dict[str, Any]] = self._answer(send, subject, repeat=True).get("rows", [])
        return found

    def copy(self, statement: str, body: Callable[[], Iterable[bytes]], subject: str) -> int:
        """Streams a COPY's rows, gzipped, and returns how many were copied. Sent again only if CARTO says that it did
        nothing. Raises Refused, and BrokenOff if there was no answer."""

        def send() -> httpx.Response:
            return self._http.post(
                f"{self.address.url}/api/v2/sql/copyfrom",
                params={"q": statement, "api_key": self.address.secret},
                content=_gzipped(body()),
                headers={"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"},
                timeout=_COPY,
            )

        return int(self._answer(send, subject, repeat=False)["total_rows"])

    def _answer(self, send: Callable[[], httpx.Response], subject: str, *, repeat: bool) -> dict[str, Any]:
        trouble = ""
        for attempt in range(1, ATTEMPTS + 1):
            self._limiter.wait()
            wait = min(30.0, 2.0**attempt / 2) * (0.5 + self._jitter() / 2)
            try:
                response = send()
                answer = response.json() if response.status_code == 200 else {}
                if response.status_code == 200 and isinstance(answer, dict) and not answer.get("error"):
                    return answer
                if response.status_code == 200:  # an error after the answer has begun
                    raise Refused(f"{subject}: CARTO answered: {self._said(response)}")
            except (httpx.HTTPError, ValueError) as error:
                trouble = f"broke off ({type(error).__name__})"
                if not repeat and not isinstance(error, httpx.ConnectError):
                    raise BrokenOff(f"{subject}: the connection to CARTO {trouble}") from None
            else:
                trouble = f"answered {response.status_code}: {self._said(response)}"
                if response.status_code not in _AGAIN:
                    advice = f": {_ADVICE[response.status_code]}" if response.status_code in _ADVICE else ""
                    raise Refused(f"{subject}: CARTO {trouble}{advice}. The published version is as it was")
                if not repeat and response.status_code != 429:
                    raise BrokenOff(f"{subject}: CARTO {trouble}")
                if response.status_code == 429:
                    wait = self._asked(response, subject)
                    self._limiter.pause(wait)
            if attempt < ATTEMPTS:
                self._sleep(wait)
        raise BrokenOff(
            f"{subject}: CARTO {trouble}, {ATTEMPTS} times. The published version is as it was; the next run publishes"
            " again"
        )

    def _asked(self, response: httpx.Response, subject: str) -> float:
        """The seconds that CARTO asks to wait, and up to one more. Without Retry-After, the 429 is of a statement that
        ran too long (https://carto.com/developers/sql-api/support/timeout-limiting)."""
        text = response.headers.get("Retry-After", "")
        if not text.isdigit():
            raise Refused(
                f"{subject}: CARTO answered 429: {self._said(response)}. The statement ran longer than the account's"
                " limit; publish fewer rows or indexes, or have the limit raised. The published version is as it was"
            )
        if float(text) > LONGEST_WAIT:
            raise BrokenOff(f"{subject}: CARTO asks to wait for {text} seconds; run it again then")
        return float(text) + self._jitter()

    def _said(self, response: httpx.Response) -> str:
        """The error as CARTO words it: `{"error": [...], "hint": ..., "detail": ..., "context": ...}`."""
        try:
            answer = response.json()
            errors = answer["error"]
            parts = [*(errors if isinstance(errors, list) else [errors])]
            parts += [answer[name] for name in ("detail", "hint", "context") if answer.get(name)]
            text = "; ".join(str(part) for part in parts)
        except (ValueError, KeyError, TypeError):
            text = response.text[:200] or "nothing"
        return text.replace(self.address.secret, "…")[:500]


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    import zlib

    packing = zlib.compressobj(level=1, wbits=31)
    for chunk in chunks:
        if packed := packing.compress(chunk):
            yield packed
    yield packing.flush()
