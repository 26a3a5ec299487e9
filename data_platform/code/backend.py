"""A backend: Dagster's own code server (`dagster api grpc`), a process that serves one release on a Unix socket.

Starts it, waits until it has loaded, keeps it alive and ends it. `backends` decides which one gets the calls.
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
"""A backend that gets no heartbeat for so long ends when its runs have ended, so a killed code server leaves none
behind."""
_KEPT_LINES = 200


class Backend:
    """A started backend. `release` names its commits in log lines. `dagster` is Dagster's command. Each line of its
    output goes to `out`. The process inherits the descriptors `holds`."""

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
        # Dagster would record the working directory with each run, and in a task the checkout is elsewhere. PYTHONPATH
        # and the working folder locate the modules in both.
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
            start_new_session=True,  # the terminal's Ctrl-C goes to the code server only, which passes it on
            pass_fds=tuple(holds),  # the checkout stays while this process lives
        )
        self._reader = threading.Thread(target=self._read, args=(out,), name=f"output of {release}", daemon=True)
        self._reader.start()
        # After a first attempt that fails, gRPC pauses for more than a second by default.
        quickly = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=quickly)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The process's exit code, None while it is alive."""
        return self._process.poll()

    def wait_until_loaded(self, seconds: float = LOAD_SECONDS, given_up: threading.Event | None = None) -> None:
        """Returns when its definitions are loaded, or at once when `given_up` is set. Raises TreeUnusable with its
        output if it exits or takes too long; the process has ended then."""
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
        """Sends it a heartbeat. Returns whether it answered."""
        return self._ask("/api.DagsterApi/Heartbeat", 5.0)

    def ask_to_end(self) -> None:
        """Requests its shutdown: it accepts no more runs, and ends when the runs that are its children have ended."""
        self.asked_to_end = self._ask("/api.DagsterApi/ShutdownServer", 5.0)

    def kill(self, grace: float = 0.0) -> None:
        """Ends it and the runs that are its children: requests a shutdown, then sends SIGTERM, and SIGKILL after
        `grace` seconds. Without `grace` only the last."""
        if grace and self.exit_code is None:
            self.ask_to_end()
            self._wait(grace / 5)  # enough without runs, and quicker than SIGTERM
        for sign in (signal.SIGTERM, signal.SIGKILL) if grace else (signal.SIGKILL,):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, sign)
            self._wait(grace or 5.0)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def close(self) -> None:
        """Frees the channel and the socket of a backend that has ended."""
        self._channel.close()
        Path(self.upstream.socket).unlink(missing_ok=True)

    def output(self) -> str:
        """The last lines of its output."""
        return excerpt("\n".join(self._lines))

    def _read(self, out: Callable[[str], None]) -> None:
        for line in self._process.stdout or ():
            self._lines.append(line.rstrip())
            if line.strip():
                out(f"[{self.release}] {line.rstrip()}")

    def _ask(self, method: str, seconds: float) -> bool:
        """Makes a call whose message may be empty. Returns whether it answered."""
        try:
            self._channel.unary_unary(method)(b"", timeout=seconds)
        except (grpc.RpcError, ValueError):  # ValueError: the channel was closed meanwhile
            return False
        return True


def socket_of_this(folder: Path, number: int) -> Path:
    """The socket of this code server's n-th backend, in a folder that no other user may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{os.getpid()}-{number}.sock"


def end_left_behind(folder: Path) -> None:
    """Requests the shutdown of backends whose code server was killed. A socket's name starts with the code server's
    process id."""
    for socket in folder.glob("*.sock"):
        if _runs(int(socket.name.partition("-")[0])):
            continue
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            try:
                channel.unary_unary("/api.DagsterApi/ShutdownServer")(b"", timeout=2.0)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:  # it has ended; a busy one is asked again later
                    socket.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
