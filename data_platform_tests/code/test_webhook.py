"""The webhook's port: who is believed, and what anyone may see."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.code.webhook import LARGEST, MOST, Webhook, signed
from data_platform_tests.end_to_end.platform import wait_for

SECRET = "a shared secret"
BODY = b'{"ref": "refs/heads/main"}'
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def github(body: bytes, secret: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


@pytest.fixture
def webhook(woken: threading.Event) -> Iterator[Webhook]:
    made = Webhook("127.0.0.1", 0, SECRET, lambda: {"serving": "abc"}, woken.set)
    yield made
    made.stop()


def ask(webhook: Webhook, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{webhook.port}/", data=body, headers=headers or {})
    try:
        with _direct.open(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("headers", [github(BODY, SECRET), {"X-Gitlab-Token": SECRET}], ids=["GitHub", "GitLab"])
def test_a_signed_call_means_look_now(webhook: Webhook, woken: threading.Event, headers: dict[str, str]) -> None:
    assert ask(webhook, BODY, headers) == (202, {"looking": True})
    assert woken.is_set()


@pytest.mark.parametrize(
    "headers",
    [{}, github(BODY, "another"), github(b"another body", SECRET), {"X-Gitlab-Token": ""}, {"X-Gitlab-Token": "no"}],
)
def test_any_other_call_is_refused(webhook: Webhook, woken: threading.Event, headers: dict[str, str]) -> None:
    status, body = ask(webhook, BODY, headers)
    assert status == 401
    assert SECRET not in str(body)
    assert not woken.is_set()


@pytest.mark.parametrize("secret", ["a shared secret", "gemeinsames Geheimnis: Öl"])
def test_headers_come_in_any_case_and_secrets_of_any_letters(woken: threading.Event, secret: str) -> None:
    """A proxy may write names small, as HTTP/2 does."""
    webhook = Webhook("127.0.0.1", 0, secret, dict, woken.set)
    known = {"x-hub-signature-256": github(BODY, secret)["X-Hub-Signature-256"]}
    try:
        for headers in (known, {"x-gitlab-token": secret.encode()}):
            woken.clear()
            assert send(webhook, headers) == 202
            assert woken.is_set()
        for headers in ({"x-gitlab-token": b"\xff\xfe"}, {"x-hub-signature-256": "sha256=Ö".encode()}):
            assert send(webhook, headers) == 401
    finally:
        webhook.stop()


def send(webhook: Webhook, headers: Mapping[str, str | bytes]) -> int:
    """The status of a call whose headers' names are sent as they stand."""
    connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=60)
    try:
        connection.request("POST", "/", BODY, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_without_a_secret_nobody_is_believed(woken: threading.Event) -> None:
    open_port = Webhook("127.0.0.1", 0, None, dict, woken.set)
    try:
        assert ask(open_port, BODY, {"X-Gitlab-Token": ""})[0] == 403
        assert not woken.is_set()
    finally:
        open_port.stop()


def test_what_is_served_is_shown(webhook: Webhook) -> None:
    assert ask(webhook) == (200, {"serving": "abc"})


def test_a_body_without_end_is_not_read(webhook: Webhook) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{webhook.port}/", data=b"", method="POST")
    request.add_unredirected_header("Content-Length", str(LARGEST + 1))
    with pytest.raises(urllib.error.HTTPError, match="413"):
        _direct.open(request, timeout=60)


@given(body=st.binary(max_size=50), secret=st.text(min_size=1, max_size=20), other=st.text(min_size=1, max_size=20))
def test_only_the_secret_signs(body: bytes, secret: str, other: str) -> None:
    assert signed(body, github(body, secret), secret)
    assert signed(body, github(body, other), secret) == (other == secret)


def test_idle_callers_hold_a_bounded_number_of_threads_and_then_others_are_served(webhook: Webhook) -> None:
    idle = [socket.create_connection(("127.0.0.1", webhook.port), timeout=60) for _ in range(MOST)]
    for each in idle:
        each.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
    statuses = {}

    def refused() -> bool:
        with socket.create_connection(("127.0.0.1", webhook.port), timeout=60) as late:
            late.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                statuses["late"] = late.recv(12)
            except ConnectionError:
                statuses["late"] = b""
        return statuses["late"] in (b"HTTP/1.0 503", b"")

    wait_for(refused, 60, "all threads are taken", every=0.02)
    for each in idle:
        each.close()
    wait_for(lambda: not refused(), 60, "a thread is free again", every=0.02)
    assert LARGEST == 2**20
