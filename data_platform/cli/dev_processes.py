"""The processes of `data-platform dev`: the code server, and Dagster's webserver and daemon. They end together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_platform.cli.project import ROOT
from data_platform.cli.signals import signals_ignored

_END_SECONDS = 30.0
_LOOK_SECONDS = 0.25


class DevProcesses:
    """Starts both within the block, and ends both after it, however it is left. Their output goes to stderr, except
    while `away` returns a reason: then only the reason, once. Dagster would repeat the traceback of a lost database
    thousands of times."""

    def __init__(self, environment: Mapping[str, str], away: Callable[[], str | None]) -> None:
        self._environment = dict(environment)
        self._away = away
        self._reason: str | None = None
        self._looked = 0.0
        self._printing = threading.Lock()
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> DevProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        with signals_ignored():
            for process in reversed(self._started):  # the UI first: its daemon asks the code server
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_END_SECONDS)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)

    def serve_code(self, options: Sequence[str], port: int, workspace: Path) -> None:
        """Starts the code server with these options, and writes the workspace that names it."""
        location = f"{{host: 127.0.0.1, port: {port}, location_name: data_platform}}"
        workspace.parent.mkdir(parents=True, exist_ok=True)
        workspace.write_text(f"load_from: [{{grpc_server: {location}}}]\n", encoding="utf-8")
        command = [sys.executable, "-c", "from data_platform.cli import main; main()", "code-server"]
        self.start([*command, "--port", str(port), *options])

    def serve_ui(self, options: Sequence[str], holds: int) -> None:
        """Starts `dagster dev` with these options. The process keeps the descriptor `holds` open."""
        self.start([sys.executable, "-m", "dagster", "dev", *options], holds)

    def start(self, command: Sequence[str], *holds: int) -> None:
        """Starts a process, whose output is printed."""
        # In its own session: the terminal's Ctrl-C comes to this process only, which passes it on once.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=holds,
        )
        self._started.append(process)
        threading.Thread(target=self._read, args=(process,), name="output", daemon=True).start()

    def ended(self) -> int | None:
        """The exit code of the first that has ended, None while all work."""
        return next((code for process in self._started if (code := process.poll()) is not None), None)

    def tell(self, line: str) -> None:
        """Prints a line."""
        with self._printing:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def look(self) -> None:
        """Says when `away` begins and ends."""
        reason = self._away()
        self._looked = time.monotonic()
        if reason != self._reason:
            self._reason = reason
            self.tell(reason or "Everything answers again.")

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                self.look()
            if self._reason is None:
                self.tell(line.rstrip("\n"))
