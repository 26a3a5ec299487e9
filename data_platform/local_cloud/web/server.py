"""The HTTP server of the doubles: `/<service>/...` goes to the service of that name.

`PUT /<service>/_faults` with a JSON array of objects with the fields of Fault sets a service's faults.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from data_platform.local_cloud.web.faults import Fault, FaultSwitch

REMEMBERED = 10_000
"""How many requests to each service the server remembers."""


@dataclass(frozen=True)
class Request:
    """`path`: below the service's name, as it was sent, without a slash at its beginning. `headers`: names in lower
    case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def one(self, name: str) -> str | None:
        """A parameter's last value."""
        return self.query[name][-1] if name in self.query else None


@dataclass(frozen=True)
class Response:
    """`body`: anything that JSON can hold, or bytes, which are sent as they are."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """A double. Requests may come from several threads at once."""

    name: str

    def answer(self, request: Request) -> Response:
        """What the service says."""


class WebApis:
    """The server. `further`: the service of a name that is none of `services`. `requests`: the last ones that each
    service was asked, in order, faults included."""

    def __init__(
        self,
        services: Iterable[Service],
        port: int = 0,
        *,
        further: Callable[[str], Service | None] = lambda name: None,
    ) -> None:
        self.services = {service.name: service for service in services}
        self.further = further
        self.faults: dict[str, FaultSwitch] = defaultdict(FaultSwitch)
        self.requests: dict[str, deque[Request]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        apis = self

        class Handler(_Handler):
            web = apis

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def serve_forever(self) -> None:
        """Serves until `close`."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Ends `serve_forever`, and closes the port."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def running(self) -> Iterator[WebApis]:
        """Serves in a thread of this process."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebApis

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a request's headers hold a key."""

    def _answer(self) -> None:
        split = urlsplit(self.path)
        name, _, path = split.path.strip("/").partition("/")
        body = self._body()
        service = self.web.services.get(name) or self.web.further(name)
        if service is None:
            self._send(404, json.dumps({"error": f"no service {name!r}"}).encode(), {})
            return
        if path == "_faults":
            self._set_faults(name, body)
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, path, parse_qs(split.query, keep_blank_values=True), headers, body)
        self.web.requests[name].append(request)
        fault = self.web.faults[name].next()
        if fault is not None and not fault.cut:
            self._send(fault.status, fault.body.encode(), fault.headers)
            return
        response = service.answer(request)
        sent = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        self._send(response.status, sent, response.headers, cut=fault is not None)

    def _body(self) -> bytes:
        """The request's body, which may come in chunks (RFC 9112, 7.1)."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _set_faults(self, name: str, body: bytes) -> None:
        try:
            self.web.faults[name].set(Fault(**each) for each in json.loads(body))
        except (ValueError, TypeError) as error:
            self._send(400, json.dumps({"error": f"expected an array of faults: {error}"}).encode(), {})
            return
        self._send(200, b"{}", {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True
