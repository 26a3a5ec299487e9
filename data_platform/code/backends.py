"""Switches calls to the newest backend, and watches all of them: starts a backend again that dies or hangs, and ends an
older one when it has no more calls or runs. `server` decides which release to serve.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from data_platform.code.backend import HEARTBEAT_SECONDS, Backend, end_left_behind
from data_platform.code.proxy import Proxy
from data_platform.code.release import Release

TICK_SECONDS = 0.2
DRAIN_SECONDS = 300.0
"""How long the calls of an older backend may take. Dagster's own limit for a sensor tick is lower."""
LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0
"""If a backend lived longer than this, its replacement starts without a pause."""
BEAT_SECONDS = HEARTBEAT_SECONDS / 12
UNANSWERED = 6
"""A backend hangs if it leaves so many heartbeats in a row unanswered, which takes about a minute and a half."""


class Backends:
    """The current backend, and the older ones. `start` returns a loaded backend of a release that was served before.
    `sockets` is the folder of all backends' sockets, also of those that a killed code server left."""

    def __init__(
        self, proxy: Proxy, start: Callable[[Release], Backend], sockets: Path, log: Callable[[str], None]
    ) -> None:
        self._proxy, self._start, self._sockets, self._log = proxy, start, sockets, log
        self._lock = threading.RLock()
        self._current: tuple[Release, Backend, float] | None = None
        self._older: list[tuple[Backend, float]] = []
        self._stopped = threading.Event()
        self._deaths = 0
        self._unanswered: dict[Backend, int] = {}
        self._watcher = threading.Thread(target=self._watch, name="backends", daemon=True)
        self._watcher.start()

    def serve(self, release: Release, backend: Backend) -> None:
        """Sends calls to this backend from now on."""
        with self._lock:
            old, self._current = self._current, (release, backend, time.monotonic())
            self._proxy.use(backend.upstream)
            if old is not None:
                self._older.append((old[1], time.monotonic()))

    @property
    def served(self) -> Release | None:
        """The release that calls go to."""
        with self._lock:
            return self._current[0] if self._current else None

    def processes(self) -> list[int]:
        """The process ids of the current backend and the older ones."""
        with self._lock:
            current = [self._current[1].pid] if self._current else []
            return current + [backend.pid for backend, _ in self._older]

    def drain(self) -> None:
        """Returns when all runs, and then their backends, have ended."""
        self._stopped.set()
        self._watcher.join(30)
        left = self._alive()
        while any(backend.exit_code is None for backend in left):
            for backend in left:
                if backend.asked_to_end:
                    backend.beat()
                else:  # request it again, in case the backend was too busy to answer
                    backend.ask_to_end()
            time.sleep(TICK_SECONDS)

    def stop(self, grace: float) -> None:
        """Ends every backend and its runs."""
        self._stopped.set()
        self._watcher.join(grace + 5)
        left = self._alive()
        threads = [threading.Thread(target=backend.kill, args=(grace,)) for backend in left]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(grace + 5)
        for backend in left:
            backend.close()

    def _alive(self) -> list[Backend]:
        with self._lock:
            return [backend for backend, _ in self._older] + ([self._current[1]] if self._current else [])

    def _watch(self) -> None:
        beat = 0.0
        while not self._stopped.wait(TICK_SECONDS):
            with self._lock:
                current = self._current
            try:
                if current is not None and current[1].exit_code is not None:
                    self._start_again(*current)
                self._end_older()
                if time.monotonic() - beat > BEAT_SECONDS:
                    beat = time.monotonic()
                    self._beat()
                    end_left_behind(self._sockets)  # repeatedly, as one may still be loading
            except Exception as error:  # a full disk, for example: the thread must go on
                self._log(f"watching the backends: {type(error).__name__}: {error}")

    def _beat(self) -> None:
        unanswered = {backend: self._unanswered.get(backend, 0) + 1 for backend in self._alive() if not backend.beat()}
        self._unanswered = unanswered
        with self._lock:
            current = self._current
        if current is not None and unanswered.get(current[1], 0) >= UNANSWERED and current[1].exit_code is None:
            self._unanswered = {}
            self._log(f"the backend of {current[0]} (process {current[1].pid}) does not answer: starting another")
            self._replace(current[0], current[1])

    def _start_again(self, release: Release, dead: Backend, since: float) -> None:
        with self._lock:
            if self._current is None or self._current[1] is not dead:
                return  # a new release came meanwhile
            self._proxy.use(None, f"the backend of {release} ended and is being restarted")
        self._deaths = 0 if time.monotonic() - since > _STEADY_SECONDS else self._deaths + 1
        pause = min(0.25 * 2**self._deaths, LONGEST_PAUSE) if self._deaths else 0.0
        self._log(f"the backend of {release} ended (exit code {dead.exit_code}): restarting it")
        self._proxy.forget(dead.upstream)
        dead.close()
        if not self._stopped.wait(pause):
            self._replace(release, dead)

    def _replace(self, release: Release, old: Backend) -> None:
        """Replaces a backend that is dead or hangs by a new one of the same release. Doesn't kill one that hangs, as
        runs may be its children."""
        try:
            fresh = self._start(release)
        except Exception as error:
            self._log(f"the backend of {release} did not start: {error}")
            with self._lock:  # the next tick tries again, with a longer pause
                if self._current is not None and self._current[1] is old and old.exit_code is not None:
                    self._proxy.use(None, f"the backend of {release} did not start: {error}")
                    self._current = (release, old, time.monotonic())
            return
        with self._lock:
            replaced = self._current is None or self._current[1] is not old  # a new release came meanwhile
            if not replaced and not self._stopped.is_set():
                self._current = (release, fresh, time.monotonic())
                self._proxy.use(fresh.upstream)
                if old.exit_code is None:
                    self._older.append((old, time.monotonic()))
                return
        fresh.kill()
        fresh.close()

    def _end_older(self) -> None:
        with self._lock:
            older = list(self._older)
        for backend, since in older:
            if backend.exit_code is not None:
                self._log(f"the backend of {backend.release} (process {backend.pid}) has ended")
                self._proxy.forget(backend.upstream)
                backend.close()
                with self._lock:
                    self._older = [one for one in self._older if one[0] is not backend]
            elif not backend.asked_to_end and (backend.upstream.calls == 0 or time.monotonic() - since > DRAIN_SECONDS):
                backend.ask_to_end()
