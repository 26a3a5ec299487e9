"""Worker processes: a file that hangs its reader, crashes it or fills its memory ends a worker, and never the run.

They are shared by all feeds and runs of a process, started when the first file comes, reused, and replaced when one
dies. `worker.py` is their program.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from typing import Any

from data_platform.extract import worker
from data_platform.extract.limits import MIB, Limits

READS_AT_ONCE = 2


class WorkerEnded(Exception):
    """A worker ended before its work was done: it died or passed a limit. The message says what happened to it;
    `of_memory`: it needed more memory than it may have."""

    def __init__(self, how: str, *, of_memory: bool = False) -> None:
        super().__init__(how)
        self.of_memory = of_memory


class InWorker(Exception):
    """The cause of an error that comes from a worker: its traceback there, as text."""


class Workers:
    """Up to `count` worker processes. Its methods may be called from any thread. `modules`: what a worker imports
    before it starts, to start faster."""

    def __init__(self, count: int = READS_AT_ONCE) -> None:
        self._count = count
        self._free = threading.Semaphore(count)
        self._one_takes_all = threading.Lock()
        self._lock = threading.Lock()
        self._template: _Template | None = None
        self._idle: list[_Worker] = []

    def call(
        self,
        shared: bytes,
        call: Callable[..., Any],
        limits: Limits,
        *,
        alone: bool = False,
        modules: Sequence[str] = (),
    ) -> Any:
        """Calls `call(*shared)` in a worker, and returns or raises what it does. `shared`: a pickled sequence, which
        the worker keeps. `alone`: in a new worker, while no other is at work.

        Raises WorkerEnded, and OSError if no worker can be started.
        """
        message = pickle.dumps((shared, pickle.dumps(call), limits.memory))
        with self._slots(self._count if alone else 1):
            one = self._taken(modules, new=alone)
            try:
                result, error, trace, logged = one.ask(message, limits)
            except BaseException:
                one.end()
                raise
            with self._lock:
                self._idle.append(one)
        for record in logged:
            logging.getLogger(record.name).handle(record)
        if error is not None:
            raise error from InWorker(trace)
        return result

    def close(self) -> None:
        """Ends the idle workers, and the template."""
        with self._lock:
            idle, self._idle = self._idle, []
            template, self._template = self._template, None
        for one in idle:
            one.end()
        if template is not None:
            template.close()

    @contextmanager
    def _slots(self, wanted: int) -> Iterator[None]:
        with self._one_takes_all if wanted > 1 else nullcontext():
            for _ in range(wanted):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(wanted)

    def _taken(self, modules: Sequence[str], *, new: bool) -> _Worker:
        """A worker that is alive. Raises OSError."""
        with self._lock:
            while self._idle:
                one = self._idle.pop()
                if not new and one.is_alive():
                    return one
                one.end()
            if self._template is None or not self._template.is_alive():
                if self._template is None:
                    atexit.register(self.close)
                self._template = _Template(modules)
            return self._template.fork()


class _Template:
    """The process that forks the workers. This process has threads, and so can't be forked itself."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", worker.__file__, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
        assert self._process.stdin is not None  # noqa: S101 - PIPE
        with self._process.stdin as stream:
            pickle.dump((sys.path, list(modules)), stream)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> _Worker:
        """A new worker. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            socket.send_fds(self._control, [worker.FORK.pack(0)], [theirs.fileno()])
            (pid,) = worker.FORK.unpack(self._answer(worker.FORK.size))
        return _Worker(pid, Connection(ours.detach()), self)

    def end(self, pid: int) -> tuple[int, int]:
        """Ends a worker if it still lives: (its exit status, negative for a signal; its peak memory in bytes). Raises
        OSError."""
        with self._lock:
            self._control.sendall(worker.FORK.pack(pid))
            status, kibibytes = worker.ENDED.unpack(self._answer(worker.ENDED.size))
        return os.waitstatus_to_exitcode(status), kibibytes * 1024

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def _answer(self, size: int) -> bytes:
        answer = self._control.recv(size, socket.MSG_WAITALL)
        if len(answer) < size:
            raise OSError(f"the process that starts reading processes has ended (status {self._process.wait()})")
        return answer


class _Worker:
    def __init__(self, pid: int, connection: Connection, template: _Template) -> None:
        self._pid, self._connection, self._template = pid, connection, template

    def is_alive(self) -> bool:
        return not self._connection.poll()  # nothing comes from an idle worker but the end

    def ask(self, message: bytes, limits: Limits) -> tuple[Any, Exception | None, str, list[logging.LogRecord]]:
        """The answer. Raises WorkerEnded; then the worker has to be ended."""
        try:
            self._connection.send_bytes(message)
            if self._connection.poll(limits.seconds):
                return pickle.loads(self._connection.recv_bytes())  # type: ignore[no-any-return]  # noqa: S301 - our own
        except (EOFError, OSError):
            raise self._death(limits) from None
        raise WorkerEnded(f"it was not read within {limits.seconds:.0f} s, the time for a file of its size")

    def end(self) -> tuple[int, int] | None:
        """As of the template; None if it can't be known."""
        if self._connection.closed:
            return None
        self._connection.close()
        try:
            return self._template.end(self._pid)
        except OSError:  # the template has ended, and its workers with it
            return None

    def _death(self, limits: Limits) -> WorkerEnded:
        ended = self.end()
        if ended is None:
            return WorkerEnded("the process that read it ended with the process that started it")
        status, peak = ended
        had = f"it had {peak // MIB} MiB of memory"
        if status == worker.OUT_OF_MEMORY:
            return WorkerEnded(
                f"reading it takes more than {limits.memory // MIB} MiB of memory, the limit of a process that reads"
                f" files here ({had} when the next piece was refused)",
                of_memory=True,
            )
        if status == -signal.SIGKILL:
            return WorkerEnded(f"the process that read it was killed, perhaps as the machine ran out of memory ({had})")
        if status < 0:
            return WorkerEnded(f"the process that read it crashed with {signal.Signals(-status).name} ({had})")
        return WorkerEnded(f"the process that read it ended with status {status} ({had})")


WORKERS = Workers()
"""This process's workers. Nothing is started before the first file is read."""
