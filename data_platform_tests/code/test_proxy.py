"""The public port: bytes pass as they are, and a switch of backends loses no call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from data_platform.code.proxy import PortTaken, Proxy, Upstream
from data_platform_tests.end_to_end.platform import wait_for

LARGE = 20 * 10**6
_OPTIONS = [("grpc.max_receive_message_length", 100 * 10**6), ("grpc.max_send_message_length", 100 * 10**6)]


class Backend(grpc.GenericRpcHandler):
    """A server that answers with its name; `/x/Slow` waits until `go` is set."""

    def __init__(self, name: str, socket: Path) -> None:
        self.name, self.go, self.cancelled = name, threading.Event(), threading.Event()
        self.reached = threading.Event()
        self.owns_run = False
        self.server = grpc.server(futures.ThreadPoolExecutor(16), handlers=(self,), options=_OPTIONS)
        self.server.add_insecure_port(f"unix:{socket}")
        self.server.start()
        self.upstream = Upstream(str(socket))

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]

        def one(request: bytes, context: Any) -> bytes:
            if method == "Slow":
                context.add_callback(self.cancelled.set)
                self.reached.set()
                self.go.wait(120)
            if method == "Fail":
                context.set_trailing_metadata((("why", "because"),))
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
            if method == "Echo":
                return request
            if method == "Metadata":
                given = dict(context.invocation_metadata())
                context.send_initial_metadata((("greeting", "hello"),))
                context.set_trailing_metadata((("farewell", "bye"),))
                return f"{given.get('who')} {context.time_remaining():.0f}".encode()
            if method.endswith("CancelExecution"):
                return b'{"success": true}' if self.owns_run else b'{"success": false}'
            return self.name.encode()

        def many(request: bytes, context: Any) -> Iterator[bytes]:
            for number in range(5):
                yield f"{self.name} {number}".encode()

        if method == "Stream":
            return grpc.unary_stream_rpc_method_handler(many)
        return grpc.unary_unary_rpc_method_handler(one)


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[list[Backend]]:
    made = [Backend(name, tmp_path / f"{name}.sock") for name in ("old", "new")]
    yield made
    for one in made:
        one.go.set()
        one.server.stop(0)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy("127.0.0.1", 0)
    made.start()
    yield made
    made.stop(0.1)


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        f"127.0.0.1:{proxy.port}", options=_OPTIONS, compression=grpc.Compression.Gzip
    ) as opened:
        yield opened


def call(channel: grpc.Channel, method: str, request: bytes = b"", **options: Any) -> bytes:
    reply: bytes = channel.unary_unary(f"/x/{method}")(request, timeout=options.pop("timeout", 120), **options)
    return reply


def test_streams_and_large_messages_pass(proxy: Proxy, channel: grpc.Channel, backends: list[Backend]) -> None:
    proxy.use(backends[0].upstream)
    streamed = list(channel.unary_stream("/x/Stream")(b"", timeout=120))
    assert streamed == [f"old {number}".encode() for number in range(5)]
    assert call(channel, "Echo", b"x" * LARGE) == b"x" * LARGE


def test_metadata_deadlines_and_errors_pass(proxy: Proxy, channel: grpc.Channel, backends: list[Backend]) -> None:
    proxy.use(backends[0].upstream)
    reply, done = channel.unary_unary("/x/Metadata").with_call(b"", timeout=90, metadata=(("who", "daemon"),))
    who, seconds = reply.decode().split()
    assert who == "daemon" and 0 < int(seconds) <= 90
    assert ("greeting", "hello") in [tuple(one) for one in done.initial_metadata()]
    assert ("farewell", "bye") in [tuple(one) for one in done.trailing_metadata()]
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "Fail")
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not today")
    assert ("why", "because") in [tuple(one) for one in error.value.trailing_metadata()]
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "Slow", timeout=0.5)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_goes_away_ends_its_call(proxy: Proxy, channel: grpc.Channel, backends: list[Backend]) -> None:
    proxy.use(backends[0].upstream)
    slow = channel.unary_unary("/x/Slow").future(b"", timeout=120)
    assert backends[0].reached.wait(120)
    slow.cancel()
    assert backends[0].cancelled.wait(120)
    wait_for(lambda: backends[0].upstream.calls == 0, 60, "the call arrives or ends", 0.01)


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_call_under_way_ends_where_it_began(
    proxy: Proxy, channel: grpc.Channel, backends: list[Backend], forgotten: bool
) -> None:
    old, new = backends
    proxy.use(old.upstream)
    slow = channel.unary_unary("/x/Slow").future(b"", timeout=120)
    assert old.reached.wait(120)
    proxy.use(new.upstream)
    if forgotten:
        proxy.forget(old.upstream)
    assert call(channel, "Name") == b"new"
    assert old.upstream.calls == 1
    old.go.set()
    assert slow.result(120) == b"old"
    wait_for(lambda: old.upstream.calls == 0, 60, "the call is counted as ended", 0.01)


def test_switching_under_load_loses_no_call(proxy: Proxy, channel: grpc.Channel, backends: list[Backend]) -> None:
    old, new = backends
    proxy.use(old.upstream)
    over = threading.Event()

    def hammer(_: int) -> list[bytes]:
        found = []
        while not over.is_set():
            found.append(call(channel, "Name"))
        return found

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(hammer, number) for number in range(8)]
        for number in range(20):
            time.sleep(0.05)
            proxy.use((new, old)[number % 2].upstream)
        over.set()
        answers = [answer for client in clients for answer in client.result(120)]
    assert set(answers) == {b"old", b"new"}
    assert len(answers) > 20


def test_calls_wait_for_a_backend_within_their_deadlines(
    proxy: Proxy, channel: grpc.Channel, backends: list[Backend]
) -> None:
    early = channel.unary_unary("/x/Name").future(b"", timeout=120)
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "Name", timeout=10)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "no code is served yet" in error.value.details()
    proxy.use(backends[0].upstream)
    assert early.result(120) == b"old"


def test_a_call_that_finds_the_backend_dead_waits_for_the_next(
    proxy: Proxy, channel: grpc.Channel, backends: list[Backend]
) -> None:
    old, new = backends
    proxy.use(old.upstream)
    assert call(channel, "Name") == b"old"
    old.server.stop(0).wait()
    late = channel.unary_unary("/x/Name").future(b"", timeout=120)
    time.sleep(0.5)
    proxy.use(new.upstream)
    assert late.result(120) == b"new"


@pytest.mark.parametrize("read", [False, True], ids=["unread: reset by peer", "read: socket closed"])
def test_a_killed_backend_costs_a_question_nothing_and_starts_no_run_twice(
    proxy: Proxy, tmp_path: Path, read: bool
) -> None:
    """What it hadn't read when it was killed makes the connection "reset by peer", for the calls before that too."""
    first, second = (tmp_path / f"{number}.sock" for number in (1, 2))
    runs, questions = tmp_path / "StartRun", tmp_path / "Name"
    dying, fresh = (
        subprocess.Popen([sys.executable, "-c", _STALLS, str(path), str(tmp_path), str(stalls)])
        for path, stalls in ((first, 60), (second, 0))
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            upstream = Upstream(str(first))
            proxy.use(upstream)
            started = channel.unary_unary("/api.DagsterApi/StartRun").future(b"", timeout=300)
            wait_for(lambda: runs.exists() and second.exists(), 60, "the call arrives or ends", 0.01)
            if not read:
                os.kill(dying.pid, signal.SIGSTOP)
            asked = channel.unary_unary("/x/Name").future(b"x" * 100, timeout=300)
            if read:
                wait_for(questions.exists, 60, "the question", 0.01)
            else:
                wait_for(lambda: upstream.calls == 2, 60, "the call arrives or ends", 0.01)
                time.sleep(0.5)  # it comes to the socket, and stays there
            dying.kill()
            dying.wait()
            proxy.use(Upstream(str(second)))
            assert started.exception(300).code() == grpc.StatusCode.UNAVAILABLE
            assert asked.result(300) == b"name"
    finally:
        for process in (dying, fresh):
            process.kill()
            process.wait()
    assert runs.read_text() == "once "


_STALLS = """
import grpc, sys, time
from concurrent import futures
class Stalls(grpc.GenericRpcHandler):
    def service(self, details):
        def one(request, context):
            with open(sys.argv[2] + "/" + details.method.rpartition("/")[2], "a") as told:
                told.write("once ")
            time.sleep(int(sys.argv[3]))
            return b"name"
        return grpc.unary_unary_rpc_method_handler(one)
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(Stalls(),))
server.add_insecure_port("unix:" + sys.argv[1])
server.start()
server.wait_for_termination()
"""


def test_a_long_reason_is_cut_and_not_lost(
    proxy: Proxy, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_platform.code.proxy.WAIT_SECONDS", 1.0)
    proxy.use(None, "it is refused: " + "é" * 50_000 + " at the end")
    with pytest.raises(grpc.RpcError) as error:
        call(channel, "Name")
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert error.value.details().startswith("it is refused") and error.value.details().endswith("at the end")


def test_ending_a_run_reaches_the_older_backend_whose_child_it_is(
    proxy: Proxy, channel: grpc.Channel, backends: list[Backend]
) -> None:
    old, new = backends
    cancel = channel.unary_unary("/api.DagsterApi/CancelExecution")
    proxy.use(old.upstream)
    proxy.use(new.upstream)
    assert cancel(b"", timeout=60) == b'{"success": false}'
    old.owns_run = True
    assert cancel(b"", timeout=60) == b'{"success": true}'
    old.server.stop(0).wait()
    proxy.forget(old.upstream)
    assert cancel(b"", timeout=60) == b'{"success": false}'


def test_a_reload_that_a_user_asks_for_means_look_now(backends: list[Backend]) -> None:
    asked = threading.Event()
    proxy = Proxy("127.0.0.1", 0, on_reload=asked.set)
    proxy.start()
    try:
        proxy.use(backends[0].upstream)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            channel.unary_unary("/api.DagsterApi/ReloadCode")(b"", timeout=60)
        assert asked.is_set()
    finally:
        proxy.stop(0.1)


def test_a_port_that_is_taken_is_said_to_be(proxy: Proxy) -> None:
    second = Proxy("127.0.0.1", proxy.port)
    with pytest.raises(PortTaken, match="Choose another port with --port"):
        second.start()
