"""The statements of one session, by the `requestId` of each.

A client that got no answer sends its request again, and Snowflake does not run the statement twice
(https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

_KEPT_SECONDS = 300.0
_KEPT_ANSWERS = 16
_KEPT_BYTES = 4 << 20


class Statements:
    """A session's running statements and latest answers. Use it on the event loop's thread only."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Response]] = {}
        self._ended: dict[str, asyncio.TimerHandle] = {}  # the oldest first

    def get(self, request_id: str) -> asyncio.Task[Response] | None:
        return self._tasks.get(request_id)

    def start(self, request_id: str, run: Callable[[], Response]) -> asyncio.Task[Response]:
        """Run a statement in a thread, or return the one that this request started before.

        The statement goes on if the client stops waiting.
        """
        if (task := self._tasks.get(request_id)) is None:
            task = self._tasks[request_id] = asyncio.create_task(run_in_threadpool(run))
            task.add_done_callback(partial(self._keep, request_id))
        return task

    def close(self) -> None:
        """Forget everything, including the answers of statements that still run."""
        self._tasks.clear()
        while self._ended:
            self._ended.popitem()[1].cancel()

    def _keep(self, request_id: str, task: asyncio.Task[Response]) -> None:
        if task.cancelled() or task.exception():
            self._tasks.pop(request_id, None)
        if request_id not in self._tasks:
            return
        self._ended[request_id] = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, request_id)
        # Always keep the newest: its client may be about to fetch it.
        while len(self._ended) > _KEPT_ANSWERS or (len(self._ended) > 1 and self._kept_bytes() > _KEPT_BYTES):
            self._forget(next(iter(self._ended)))

    def _kept_bytes(self) -> int:
        return sum(len(self._tasks[request_id].result().body) for request_id in self._ended)

    def _forget(self, request_id: str) -> None:
        del self._tasks[request_id]
        self._ended.pop(request_id).cancel()
