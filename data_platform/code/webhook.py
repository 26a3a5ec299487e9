"""The port for people and git servers: `GET /` shows the state, a signed `POST /` makes the code server look now."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGEST = 2**20
"""Bytes. The body is read before its signature can be checked. GitHub sends larger ones only for pushes of thousands of
commits; the code server looks every few seconds all the same."""
MOST = 16
"""Calls at a time. A further one is refused at once."""


class Webhook:
    """Listens on `host`:`port` in a thread. Raises OSError if it can't."""

    def __init__(
        self, host: str, port: int, secret: str | None, state: Callable[[], Any], look: Callable[[], None]
    ) -> None:
        class Handler(_Handler):
            told = staticmethod(state)
            wake = staticmethod(look)
            key = secret

        self._server = _Server((host, port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="webhook", daemon=True).start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()


def signed(body: bytes, headers: Mapping[str, str] | Message, secret: str) -> bool:
    """Whether GitHub's HMAC of the body (X-Hub-Signature-256) or GitLab's token (X-Gitlab-Token) proves that the caller
    knows the secret. `headers` are those of Python's HTTP server: case-insensitive, decoded as Latin-1."""
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    by_github = hmac.compare_digest(headers.get("X-Hub-Signature-256", "").encode("latin-1"), wanted.encode())
    by_gitlab = hmac.compare_digest(headers.get("X-Gitlab-Token", "").encode("latin-1"), secret.encode())
    return by_github or by_gitlab


class _Server(ThreadingHTTPServer):
    """A thread per call, and at most MOST threads."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(MOST)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return self.shutdown_request(request)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Handler(BaseHTTPRequestHandler):
    told: Callable[[], Any]
    wake: Callable[[], None]
    key: str | None
    timeout = 20  # seconds, of a client that sends nothing

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/":
            self._answer(200, self.told())
        else:
            self._answer(404, {"error": "only / is here"})

    def do_POST(self) -> None:
        if self.key is None:
            return self._answer(403, {"error": "DATA_PLATFORM_CODE_WEBHOOK_SECRET is not set, so no call is accepted"})
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if not 0 <= length <= LARGEST:
            return self._answer(413, {"error": f"expected at most {LARGEST} bytes"})
        if not signed(self.rfile.read(length), self.headers, self.key):
            return self._answer(401, {"error": "the signature does not match DATA_PLATFORM_CODE_WEBHOOK_SECRET"})
        self.wake()
        return self._answer(202, {"looking": True})

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # the health check of a load balancer comes often
        return
