"""A backend: Dagster's own code server (`dagster api grpc`) as a process of one release's checkout, on a socket.

How it is started, known to be loaded, kept alive and asked to end. Which one is served is `backends`' to say.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import grpc  # type: ignore[import-untyped]

from data_platform.code.proxy import Upstream
from data_platform.code.tree import TreeUnusable, excerpt

MODULE = "data_platform.definitions"
LOAD_SECONDS = 180.0
HEARTBEAT_SECONDS = 120
"""A backend that hears nothing from its code server for so long ends when its runs have: a killed code server leaves
none behind."""
_KEPT_LINES = 200


class Backend:
    """A started backend. `release` says in log lines which commits it runs. Its output is passed to `out` line by
    line."""

    def __init__(
        self,
        release: str,
        tree: Path,
        environment: Mapping[str, str],
        socket: Path,
        dagster: Sequence[str],
        holds: Sequence[int] = (),
        out: Callable[[str], None] = print,
    ) -> None:
        self.release = release
        self.upstream = Upstream(str(socket))
        self.asked_to_end = False
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        command = [*dagster, "api", "grpc", "--socket", str(socket)]
        # No working directory in what is recorded with a run: in a task the checkout stands elsewhere. PYTHONPATH and
        # the working folder say where modules are, here as there.
        command += ["--module-name", MODULE, "--empty-working-directory"]
        command += ["--heartbeat", "--heartbeat-timeout", str(HEARTBEAT_SECONDS)]
        self._process = subprocess.Popen(
            command,
            cwd=tree,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C at a terminal is the code server's to pass on
            pass_fds=tuple(holds),  # the checkout stays while this process lives
        )
        self._reader = threading.Thread(target=self._read, args=(out,), name=f"output of {release}", daemon=True)
        self._reader.start()
        # gRPC's own pause after a first try that came too early is a second and more.
        quickly = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=quickly)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    def wait_until_loaded(self, seconds: float = LOAD_SECONDS, given_up: threading.Event | None = None) -> None:
        """Returns when its definitions are loaded. Raises TreeUnusable with what it printed, when it ends instead or
        takes too long; the process has ended then. Returns at once when `given_up` is set."""
        deadline = time.monotonic() + seconds
        while given_up is None or not given_up.is_set():
            if self.exit_code is not None:
                self._reader.join(5)
                raise TreeUnusable(f"its definitions don't load (exit code {self.exit_code}):\n{self.output()}")
            if Path(self.upstream.socket).exists() and self._ask("/api.DagsterApi/GetServerId", 2.0):
                return
            if time.monotonic() > deadline:
                self.kill()
                raise TreeUnusable(f"its definitions weren't loaded within {seconds:.0f} s:\n{self.output()}")
            time.sleep(0.05)

    def beat(self) -> bool:
        """Tells it that its code server lives. Returns whether it answered."""
        return self._ask("/api.DagsterApi/Heartbeat", 5.0)

    def ask_to_end(self) -> None:
        """It ends when the runs that are its children have; until then it takes no new one."""
        self.asked_to_end = self._ask("/api.DagsterApi/ShutdownServer", 5.0)

    def kill(self, grace: float = 0.0) -> None:
        """Ends it and the runs that are its children: as Dagster ends a code server, then by SIGTERM, and after `grace`
        seconds by SIGKILL."""
        if grace and self.exit_code is None:
            self.ask_to_end()
            self._wait(grace / 5)  # enough where it has no runs; SIGTERM alone it takes seconds to obey
        for sign in (signal.SIGTERM, signal.SIGKILL) if grace else (signal.SIGKILL,):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, sign)
            self._wait(grace or 5.0)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def close(self) -> None:
        """Gives back what a backend that has ended still holds."""
        self._channel.close()
        Path(self.upstream.socket).unlink(missing_ok=True)

    def output(self) -> str:
        """The end of what it printed."""
        return excerpt("\n".join(self._lines))

    def _read(self, out: Callable[[str], None]) -> None:
        for line in self._process.stdout or ():
            self._lines.append(line.rstrip())
            if line.strip():
                out(f"[{self.release}] {line.rstrip()}")

    def _ask(self, method: str, seconds: float) -> bool:
        """Whether it answers a call that takes an empty message (`Heartbeat` and `Ping` echo one)."""
        try:
            self._channel.unary_unary(method)(b"", timeout=seconds)
        except (grpc.RpcError, ValueError):  # ValueError: the channel was closed meanwhile
            return False
        return True


def socket_of_this(folder: Path, number: int) -> Path:
    """The socket of this code server's n-th backend, in a folder that nobody else may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{os.getpid()}-{number}.sock"


def end_left_behind(folder: Path) -> None:
    """Asks backends that a killed code server left to end when their runs have. Those of one that lives are known by
    its process id, in their sockets' names."""
    for socket in folder.glob("*.sock"):
        if Path(f"/proc/{socket.name.partition('-')[0]}").exists():
            continue
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            try:
                channel.unary_unary("/api.DagsterApi/ShutdownServer")(b"", timeout=2.0)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:  # nobody is there; who is too busy is asked again
                    socket.unlink(missing_ok=True)
