"""The code server's public port: passes gRPC calls, as bytes, to the current backend.

A switch loses no call: calls in progress end where they began, later ones go to the new backend. While there is none
(it died and is being started) calls wait, within their deadlines. The proxy doesn't interpret calls, except the
cancellation of a run: every backend is asked, as the run may be an older one's child.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

WAIT_SECONDS = 30.0
"""How long a call without a deadline of its own waits for a backend."""
OF_EVERY_BACKEND = ("/api.DagsterApi/CancelExecution", "/api.DagsterApi/CanCancelExecution")
_RELOAD = "/api.DagsterApi/ReloadCode"
_NOTICE_SECONDS = 10.0
# These have effects, so they aren't repeated. A run would start twice; the daemon repeats a tick by itself.
_ONCE = tuple(
    f"/api.DagsterApi/{name}"
    for name in (
        *("StartRun", "ShutdownServer", "ExternalSensorExecution", "ExternalScheduleExecution"),
        *("SyncExternalSensorExecution", "SyncExternalScheduleExecution"),
    )
)
Options = tuple[tuple[str, int], ...]
_LARGEST = 100 * 10**6
# Characters. A status is a header, which gRPC refuses from 16 kB on; a character that isn't ASCII takes up to 12 bytes.
_LONGEST_WHY = 1200
_HOP_BY_HOP = ("user-agent", "content-type", "te", "connection")


def _limits(environment: Mapping[str, str]) -> Options:
    """gRPC's message size limits as Dagster has them: 100 MB, or the values of Dagster's own variables."""
    return (
        ("grpc.max_receive_message_length", int(environment.get("DAGSTER_GRPC_MAX_RX_BYTES") or _LARGEST)),
        ("grpc.max_send_message_length", int(environment.get("DAGSTER_GRPC_MAX_SEND_BYTES") or _LARGEST)),
    )


class PortTaken(Exception):
    """Another process listens on the port."""


class Upstream:
    """A backend's socket, channel, and number of calls in progress."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.calls = 0
        self.channel: grpc.aio.Channel | None = None

    def open_channel(self, options: Options) -> grpc.aio.Channel:
        """Returns the channel. Call it on the proxy's thread."""
        if self.channel is None:
            self.channel = grpc.aio.insecure_channel(f"unix:{self.socket}", options=options)
        return self.channel


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Listens on `host`:`port` in its own thread. Calls `on_reload` when a user requests a reload. `environment` may
    hold Dagster's variables for the message size limits."""

    def __init__(
        self,
        host: str,
        port: int,
        on_reload: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._options = _limits(environment or {})
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._on_reload = on_reload
        self._current: Upstream | None = None
        self._older: list[Upstream] = []
        self._why = "no code is served yet"
        self._loop = asyncio.new_event_loop()
        self._arrived = asyncio.Event()
        self._server: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Returns when the port answers. Raises PortTaken."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def use(self, upstream: Upstream | None, why: str = "") -> None:
        """Sends calls to `upstream` from now on. With None they wait; those that reach their deadline fail with
        `why`."""

        def change() -> None:
            if self._current is not None and self._current is not upstream:
                self._older.append(self._current)
            self._current, self._why = upstream, _short(why) or self._why
            self._arrived.set()
            self._arrived = asyncio.Event()

        self._on_thread(change)

    def forget(self, upstream: Upstream) -> None:
        """Closes the channel of a backend that has ended."""

        def change() -> None:
            self._older = [one for one in self._older if one is not upstream]
            if upstream.channel is not None:
                # Calls in progress must fail by themselves: a call that is cancelled here gets no answer.
                self._loop.create_task(upstream.channel.close(_NOTICE_SECONDS))

        self._on_thread(change)

    def stop(self, grace: float) -> None:
        """Accepts no more calls, and waits up to `grace` seconds for those in progress. May be called twice."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._server.stop(grace), self._loop).result(grace + 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Handles any method: on the wire, one message is a stream of one."""
        method = details.method
        serve = self._ask_every if method in OF_EVERY_BACKEND else self._pass

        async def handle(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            if method == _RELOAD:
                self._on_reload()
            async for reply in serve(method, requests, context):
                yield reply

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _start(self) -> None:
        options = (*self._options, ("grpc.so_reuseport", 0))
        self._server = grpc.aio.server(handlers=(self,), options=options, compression=grpc.Compression.Gzip)
        try:
            bound = self._server.add_insecure_port(self._address)
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise PortTaken(
                f"can't listen on {self._address}: is another code server running? Choose another port with --port"
            )
        self.port = bound
        await self._server.start()

    async def _pass(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        request = [message async for message in requests]  # one, in all of Dagster's methods
        until = self._loop.time() + WAIT_SECONDS
        again = method not in _ONCE  # then the next backend may get it, too
        while True:
            upstream = await self._upstream(context)
            upstream.calls += 1
            try:
                async for reply in self._answer(upstream, method, request, context):
                    again = False
                    yield reply
                return
            except grpc.aio.AioRpcError as error:
                unsent = _never_sent(error)
                if not (unsent or (again and _broken(error))) or self._loop.time() > until:
                    await context.abort(error.code(), error.details() or "", _plain(error.trailing_metadata()))
                again = again and unsent
            finally:
                upstream.calls -= 1
            await asyncio.sleep(0.1)  # it died, and `backends` starts another

    async def _answer(
        self, upstream: Upstream, method: str, request: list[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        metadata = _passed_on(context.invocation_metadata())
        ask = upstream.open_channel(self._options).stream_stream(method)
        call = ask(iter(request), timeout=context.time_remaining(), metadata=metadata)
        try:
            first = True
            async for reply in call:
                if first:
                    await context.send_initial_metadata(_plain(await call.initial_metadata()))
                    first = False
                yield reply
            context.set_trailing_metadata(_plain(await call.trailing_metadata()))
        finally:
            call.cancel()  # where the client went away

    async def _ask_every(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Asks the backends in turn, and replies with the first success, else with the newest backend's reply. Replies
        hold a result as JSON."""
        newest = await self._upstream(context)
        request = [message async for message in requests]
        replies: list[bytes] = []
        for upstream in (newest, *reversed(self._older)):
            upstream.calls += 1
            try:
                ask = upstream.open_channel(self._options).stream_stream(method)
                call = ask(iter(request), timeout=context.time_remaining())
                replies.append(b"".join([message async for message in call]))
            except (grpc.aio.AioRpcError, grpc.aio.UsageError):
                continue  # it is ending, so it has no more runs
            finally:
                upstream.calls -= 1
            if _says_yes(replies[-1]):
                break
        if not replies:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no backend answered")
        yield replies[-1] if _says_yes(replies[-1]) else replies[0]

    async def _upstream(self, context: Any) -> Upstream:
        until = min(context.time_remaining() or WAIT_SECONDS, WAIT_SECONDS)
        deadline = self._loop.time() + until * 0.9  # in time for the answer to arrive
        while (upstream := self._current) is None:
            try:
                await asyncio.wait_for(self._arrived.wait(), max(deadline - self._loop.time(), 0.001))
            except TimeoutError:
                await context.abort(grpc.StatusCode.UNAVAILABLE, self._why)
        return upstream

    def _on_thread(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)


def _never_sent(error: Any) -> bool:
    """Whether there was no connection, so that the request can't have arrived."""
    return error.code() == grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith("failed to connect")


def _broken(error: Any) -> bool:
    """Whether the connection broke, before or after the request arrived. gRPC has several messages for it ("reset by
    peer", "Socket closed") and one code, which backends don't use themselves."""
    return bool(error.code() == grpc.StatusCode.UNAVAILABLE)


def _short(why: str) -> str:
    half = _LONGEST_WHY // 2
    return why if len(why) <= _LONGEST_WHY else f"{why[:half]}\n(...)\n{why[-half:]}"


def _says_yes(reply: bytes) -> bool:
    return b'"success": true' in reply or b'"can_cancel": true' in reply


def _passed_on(metadata: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (key, value) for key, value in metadata or () if key not in _HOP_BY_HOP and not key.startswith((":", "grpc-"))
    )


def _plain(metadata: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((key, value) for key, value in metadata or () if not key.startswith("grpc-"))
