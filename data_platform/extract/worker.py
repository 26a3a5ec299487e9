"""The program of the processes that read files: a template, which has imported the readers, and its forks, the workers.

    python -P worker.py SOCKET

Only `workers.py` starts it. A worker reads one file at a time, in any order of feeds. All of them end with the process
that started the template, however that ends. Until the template knows where the platform's modules are, it imports
none of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import logging
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import lru_cache
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

OUT_OF_MEMORY = 86
"""The exit status of a worker that needed more memory than its limit."""
FORK = struct.Struct("!q")
"""What the template is asked: to end the worker of that id, or, with 0 and a socket, to fork one; it answers its id."""
ENDED = struct.Struct("!qq")
"""How a worker ended: its wait status, and the most KiB of memory that it had."""
_PR_SET_PDEATHSIG = 1


def main(control: socket.socket) -> None:
    """The template; in each of its forks, a worker."""
    for sign in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the run decides when reading ends
        signal.signal(sign, signal.SIG_IGN)
    path, modules = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    sys.path[:] = path
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads would have to be forked
    os.environ["MIMALLOC_ARENA_RESERVE"] = "64MiB"  # Arrow's allocator takes 1 GiB at a time, which counts as used
    for module in modules:
        importlib.import_module(module)
    template = os.getpid()
    worker = _forked(control)
    if sys.platform == "linux":  # elsewhere a worker goes on until its file is read when the template is killed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):  # where memory runs out, the kernel ends the reader of a file, not the run
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        if os.getppid() != template:
            os._exit(1)
    _work(worker)
    os._exit(0)


def _forked(control: socket.socket) -> Connection:
    """Forks a worker for each socket that comes, and returns its connection in the fork. The only threads are those of
    the C libraries that were imported, which know how to be forked. Ends with the process at the other end."""
    workers: set[int] = set()
    gc.freeze()  # a collection would copy the memory that forks share
    while True:
        asked, sockets, _, _ = socket.recv_fds(control, FORK.size, 1)
        if not asked:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            os._exit(0)
        (worker,) = FORK.unpack(asked)
        if sockets:
            worker = os.fork()
            if worker == 0:
                control.close()
                return Connection(sockets[0])
            os.close(sockets[0])
            workers.add(worker)
            control.sendall(FORK.pack(worker))
        else:
            os.kill(worker, signal.SIGKILL)  # it may have ended, but its id is its own until it is waited for
            _, status, used = os.wait4(worker, 0)
            workers.remove(worker)
            control.sendall(ENDED.pack(status, used.ru_maxrss // (1 if sys.platform == "linux" else 1024)))


def _work(connection: Connection) -> None:
    """Does what comes, until the other end is closed: `call(*shared)`. Answers (result, None, "", what was logged), or
    (None, error, traceback, what was logged). Not answered: that the memory doesn't suffice, or what isn't an
    Exception; both end the process."""
    logged: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logging.getLogger().addHandler(QueueHandler(logged))
    shared_of = lru_cache(maxsize=8)(pickle.loads)  # a store keeps its connections from file to file
    limit = _limit_by_watching if sys.platform == "darwin" else _limit_by_kernel
    done: tuple[Any, Exception | None, str]
    while True:
        try:
            shared, call, memory = connection.recv()
        except EOFError:
            return
        limit(memory)
        try:
            done = (_called(call, shared_of, shared), None, "")
        except Exception as error:
            if any(map(_is_of_memory, _chain(error))):
                os._exit(OUT_OF_MEMORY)
            done = (None, _picklable(error), traceback.format_exc())
        connection.send((*done, [logged.get() for _ in range(logged.qsize())]))


def _called(call: bytes, shared_of: Callable[[bytes], Any], shared: bytes) -> Any:
    return pickle.loads(call)(*shared_of(shared))  # noqa: S301 - from the process that started this one


def _limit_by_kernel(memory: int) -> None:
    """Allocating more fails. RLIMIT_DATA counts what is allocated: stacks of threads, but no address space that an
    allocator only reserves."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory if most == resource.RLIM_INFINITY else min(memory, most), most))


_watched: list[int] = []


def _limit_by_watching(memory: int) -> None:
    """Having more ends the process, at once or within a tenth of a second: macOS enforces no limit."""

    def watch() -> None:
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= _watched[0]:  # bytes, on macOS
            time.sleep(0.1)
        os._exit(OUT_OF_MEMORY)

    _watched[:] = [memory]
    if all(thread.name != "memory" for thread in threading.enumerate()):
        threading.Thread(target=watch, name="memory", daemon=True).start()


def _is_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and str(error) == "can't start new thread")
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
