"""Dagster's code server, with runs that start from loaded definitions instead of importing them. Only where runs are
processes.

    python -P preloaded.py FOLDER MODULE api grpc ...      becomes `dagster api grpc ...`

Dagster starts each run as a new Python (multiprocessing's "spawn"), which imports everything again. This program loads
MODULE, forks a *template* process, and becomes Dagster. `multiprocessing.set_executable` names a client
(`preloaded_client`), which passes each new Python's command line, environment and files to the template, and the
template forks the run. If that isn't possible, runs start as Dagster starts them.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CLIENT = Path(__file__).absolute().with_name("preloaded_client.py")
_HIGH = 200
"""File descriptors from this number on are unused; a new Python inherits lower ones."""


def dagster_command(folder: Path, module: str) -> list[str]:
    """The command that replaces `dagster`. `folder` is for sockets; no other user may enter it."""
    return [sys.executable, "-P", str(Path(__file__).absolute()), str(folder), module]


def main(arguments: Sequence[str]) -> None:
    """Becomes `dagster`. In a fork of the template, becomes the Python that multiprocessing requested."""
    folder, module, *command = arguments
    asked = None
    if sys.platform == "linux" and _loaded(module):
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # before the fork only
            asked = _template(Path(folder) / f"{os.getpid()}.template")
    if asked is not None:
        return _run(*asked)
    sys.argv = ["dagster", *command]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _loaded(module: str) -> bool:
    """Imports the modules that a run needs. Returns whether this process may be forked."""
    try:
        defs = importlib.import_module(module).defs
        if callable(defs):
            defs()
        import dagster

        with dagster.DagsterInstance.get():  # imports the storages' modules
            pass
    except Exception:  # Dagster loads the module again, and reports the error
        return False
    return threading.active_count() == 1  # a fork lacks the other threads, and could wait for them forever


def _template(path: Path) -> tuple[socket.socket, str] | None:
    """Forks the template. Returns None in this process; in each fork of the template, returns the client's connection
    and the code to run. Raises OSError and SubprocessError."""
    program = path.with_suffix(".python")
    client = shlex.join([sys.executable, "-I", "-S", str(_CLIENT), str(path)])
    program.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    program.chmod(0o700)
    subprocess.run([program, "-c", "pass"], check=True, timeout=30)  # the folder may be mounted noexec
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    server_lives, held_by_server = os.pipe()
    if os.fork():
        listener.close()
        os.close(server_lives)
        multiprocessing.set_executable(str(program))
        return None
    with contextlib.suppress(BaseException):  # without a template, clients become new Pythons
        os.close(held_by_server)
        connection = _forked(listener, server_lives)
        if connection is not None:
            return connection, _become(connection)
        for left in (path, program):
            left.unlink(missing_ok=True)
    os._exit(0)


def _forked(listener: socket.socket, server_lives: int) -> socket.socket | None:
    """Forks this process, the template, for each client. Returns the client's connection in the fork, and None in the
    template when Dagster has ended."""
    handlers = {sign: signal.signal(sign, signal.SIG_DFL) for sign in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: the client learns from its connection how a run ended
    gc.freeze()  # a collection would copy the memory that forks share
    while listener in select.select([listener, server_lives], [], [])[0]:
        accepted, _ = listener.accept()
        connection = socket.socket(fileno=fcntl.fcntl(accepted.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH))
        accepted.close()
        if os.fork() == 0:
            listener.close()
            os.close(server_lives)
            gc.unfreeze()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for sign, handler in handlers.items():
                signal.signal(sign, handler)
            return connection
        connection.close()
    return None


def _become(connection: socket.socket) -> str:
    """Takes over the client's files, arguments and environment. Returns the code that the client was started with."""
    size, received, _, _ = socket.recv_fds(connection, 8, 64)
    with connection.makefile("rb") as stream:
        asked: dict[str, Any] = json.loads(stream.read(int.from_bytes(size, "big")))
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH) for descriptor in received]
    for descriptor in received:
        os.close(descriptor)
    for descriptor, number in zip(aside, asked["files"], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["-c", *asked["arguments"]]
    connection.sendall(os.getpid().to_bytes(8, "big"))
    threading.Thread(target=_end_with, args=(connection,), name="client", daemon=True).start()
    return str(asked["code"])


def _end_with(connection: socket.socket) -> None:
    """Kills this process when its client is killed: Dagster knows only the client."""
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _run(connection: socket.socket, code: str) -> None:
    status = 1
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  as `python -c` does
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        connection.sendall(bytes([status & 0xFF]))


if __name__ == "__main__":
    main(sys.argv[1:])
