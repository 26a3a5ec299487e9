"""What the doctor says about the lake's bucket to a role that may not list it. S3 answers such a role 403 for a missing
key, not 404 (docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html), and each feed's first extract would fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_platform.cli.doctor.connections import lake
from data_platform.environment import Settings
from data_platform_tests.test_environment import LOCAL_ENDPOINTS


class Bucket(BaseHTTPRequestHandler):
    """S3, with one bucket. `missing`: what it answers for a missing key."""

    missing = 404
    objects: dict[str, bytes]

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self._answer(self.missing if found is None else 200, found or b"")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """DeleteObjects, of the only object."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.objects.clear()
        self._answer(200, b"<DeleteResult><Deleted><Key>probe</Key></Deleted></DeleteResult>")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def served() -> Iterator[tuple[type[Bucket], Settings]]:
    """A bucket of a test's own, served on loopback, and the settings that reach it."""

    class Own(Bucket):
        objects: dict[str, bytes] = {}  # noqa: RUF012  one for all calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    yield Own, Settings.from_environment({**LOCAL_ENDPOINTS, **keys, "AWS_ENDPOINT_URL": address})
    server.shutdown()
    server.server_close()


Served = tuple[type[Bucket], Settings]


def test_a_role_that_may_list_sees_that_a_key_is_missing(served: Served) -> None:
    (finding,) = lake(served[1])
    assert (finding.state, finding.found) == ("ok", "wrote, read and deleted an object, and saw that it is gone")


def test_a_role_that_may_not_list_is_told_to_allow_it(served: Served) -> None:
    bucket, settings = served
    bucket.missing = 403
    (finding,) = lake(settings)
    assert finding.state == "failed"
    assert finding.found.startswith("a missing key: ")
    assert "allow s3:ListBucket on data-platform-lake to this role" in (finding.fix or "")
