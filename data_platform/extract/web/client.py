"""Asks a web API for JSON: within its limit, again where that may help, and with errors that say what to do."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from data_platform.environment.rules import is_loopback
from data_platform.extract.web.limiter import Limiter
from data_platform.values.rule import shown
from data_platform.values.typed import NumberText

ATTEMPTS = 6
"""How often a request is made before a read fails."""
LONGEST_WAIT = 300.0
"""Seconds. A service that asks for more is given up, and read by the next run."""
_BACKOFF_SECONDS = 30.0
_TELL_SECONDS = 10.0
"""A wait that the log tells of."""
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)

Read = TypeVar("Read")


class ApiFailed(Exception):
    """The API can't be read. The message names the feed, what was asked, the answer and what to do, never the key."""


class ApiRefused(ApiFailed):
    """The API refused a request, and would refuse it again. `code`: the service's own name of the error, or ''.
    `status`: HTTP's."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Address:
    """Where an API is, and who reads it: from a connection's URL `https://<user>:<secret>@<host>/<path>`."""

    url: str
    user: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, url: str, *, keyless: bool = False) -> Address:
        """The parts of the URL. `keyless`: anybody may ask the service. Raises ApiFailed, without quoting it."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("https", "http") or not parts.hostname or not (parts.password or keyless):
            form = "https://<host>" if keyless else "https://<user>:<secret>@<host>"
            raise ApiFailed(f"the connection isn't a URL of the form {form}; correct it")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = host if port is None else f"{host}:{port}"
        return cls(
            f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}",
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )


@dataclass(frozen=True)
class Api:
    """A service. `headers`: who asks. `lockout_seconds`: how long it refuses everything after a request too many.
    `advice`: what to do about a status. `quota`: from an answer's headers, why waiting won't help, or None. `kept`:
    what remains of the work of a read that fails."""

    name: str
    per_second: float
    headers: Callable[[Address], Mapping[str, str]]
    lockout_seconds: float
    advice: Mapping[int, str]
    quota: Callable[[Mapping[str, str]], str | None] = lambda headers: None
    kept: str = "Nothing of this read is kept"


class ApiClient:
    """Calls one service with one key. For several threads. `limiter`: the one of all who use the key. `attempts`: how
    often it makes a request. `progress` receives messages for the log. `clock` and `sleep`: seconds. `jitter`: from 0
    to 1."""

    def __init__(
        self,
        api: Api,
        address: Address,
        limiter: Limiter | None = None,
        *,
        attempts: int = ATTEMPTS,
        progress: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.api, self.address, self._attempts = api, address, attempts
        self._progress, self._sleep, self._jitter = progress, sleep, jitter
        self._limiter = limiter or Limiter(api.per_second, clock=clock, sleep=sleep)
        # A redirect isn't followed: it would take the key elsewhere.
        self._http = httpx.Client(
            headers=dict(api.headers(address)), timeout=_TIMEOUT, trust_env=not is_loopback(address.url)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, str | list[str]], subject: str) -> dict[str, Any]:
        """The JSON object at the path below the service's address, its numbers as NumberText. `subject` begins errors:
        the feed, and what is asked for. Raises ApiFailed, and ApiRefused where another attempt won't help."""

        def json_object(text: str) -> dict[str, Any] | None:
            page = _parsed(text)
            return page if isinstance(page, dict) else None

        return self._asked("GET", path, subject, json_object, "a JSON object", params=dict(query))

    def post_file(
        self,
        path: str,
        fields: Mapping[str, str],
        file: tuple[str, bytes],
        subject: str,
        read: Callable[[str], Read | None],
    ) -> Read:
        """What `read` makes of the answer to a form with these fields and one file (its field's name, its bytes).
        `read` returns None for a text that isn't an answer; the request is then made again. Raises as `get` does."""
        name, content = file
        return self._asked(
            "POST", path, subject, read, "the answer", data=dict(fields), files={name: (f"{name}.csv", content)}
        )

    def _asked(
        self, method: str, path: str, subject: str, read: Callable[[str], Read | None], expected: str, **options: Any
    ) -> Read:
        trouble = ""
        for attempt in range(1, self._attempts + 1):
            self._limiter.wait()
            wait = min(_BACKOFF_SECONDS, 2.0**attempt) * (0.5 + self._jitter() / 2)
            try:
                response = self._http.request(method, f"{self.address.url}/{path}", **options)
            except httpx.HTTPError as error:
                trouble = f"broke off ({type(error).__name__})"
            else:
                if response.status_code == 200:
                    answer = read(response.text)
                    if answer is not None:
                        return answer
                    trouble = f"answered with {self._hidden(shown(response.text))}, which is not {expected}"
                elif response.status_code in _AGAIN:
                    trouble = f"answered {response.status_code}{self._said(response)[1]}"
                    wait = self._wait(response, wait, f"{subject}: {self.api.name} {trouble}")
                else:
                    raise self._refused(response, subject)
            if attempt < self._attempts:
                if wait >= _TELL_SECONDS:
                    self._progress(f"{subject}: {self.api.name} {trouble}; trying again in {wait:.0f} seconds")
                self._sleep(wait)
        raise ApiFailed(
            f"{subject}: {self.api.name} {trouble}, {self._attempts} times. {self.api.kept}; the next run goes on"
        )

    def _wait(self, response: httpx.Response, otherwise: float, subject: str) -> float:
        """The seconds until the next attempt. A limit that is exceeded holds for every thread."""
        asked = _retry_after(response.headers.get("Retry-After", ""))
        if response.status_code == 429:
            used_up = self.api.quota(response.headers)
            if used_up:
                raise ApiFailed(f"{subject}: {used_up}")
            # Not all threads at the same moment, and never before the service allows it.
            asked = max(asked or 0.0, self.api.lockout_seconds) + self._jitter()
            self._limiter.pause(asked)
        if asked is not None and asked > LONGEST_WAIT:
            raise ApiFailed(f"{subject}, and asks to wait for {asked:,.0f} seconds. {self.api.kept}; run it again then")
        return otherwise if asked is None else asked

    def _refused(self, response: httpx.Response, subject: str) -> ApiRefused:
        code, said = self._said(response)
        advice = self.api.advice.get(response.status_code, "see the service's documentation for this error")
        message = f"{subject}: {self.api.name} answered {response.status_code}{said}: {advice}"
        return ApiRefused(message, code, response.status_code)

    def _said(self, response: httpx.Response) -> tuple[str, str]:
        """The error's code, and the error as messages quote it."""
        page = _parsed(response.text)
        error = page.get("error", page.get("errors")) if isinstance(page, dict) else None
        error = error[0] if isinstance(error, list) and error else error
        if isinstance(error, dict):
            code, message = str(error.get("type") or ""), str(error.get("message") or "")
        else:
            code, message = "", str(error or response.text.strip())
        told = " ".join(part for part in (code, shown(message) if message else "") if part)
        return code, f" ({self._hidden(told)})" if told else ""

    def _hidden(self, text: str) -> str:
        return text.replace(self.address.secret, "…") if self.address.secret else text


def _parsed(text: str) -> Any:
    """The JSON value, or None where it is none."""
    try:
        return json.loads(text, parse_int=NumberText, parse_float=NumberText)
    except (ValueError, RecursionError):
        return None


def _retry_after(text: str) -> float | None:
    """The header's seconds: a number, or a date (RFC 9110, 10.2.3)."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if seconds >= 0 else None
