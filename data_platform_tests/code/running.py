"""`data-platform code-server` as a process, and a client of its port."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import grpc

from data_platform_tests.end_to_end.platform import patience, wait_for
from data_platform_tests.servers.ports import own_port

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_LIST = "/api.DagsterApi/ListRepositories"


@dataclass
class Running:
    """A code server on `port`, its state at `web`."""

    process: subprocess.Popen[bytes]
    port: int
    web: int
    log: Path

    def state(self) -> dict[str, Any]:
        """What `GET /` shows; empty while nothing answers."""
        with contextlib.suppress(OSError), _direct.open(f"http://127.0.0.1:{self.web}/", timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
        return {}

    def told_commit(self, variable: str = "DATA_PLATFORM_CODE_COMMIT", timeout: float = 60.0) -> str:
        """The commit which runs are told that are created now. Raises grpc.RpcError."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            return told_commit(channel, variable, timeout)

    def wait_served(self, commit: str, seconds: float = 180.0) -> float:
        """Waits until the commit is served; seconds that it took."""
        began = time.monotonic()
        self.until(lambda: commit in (part.get("served") for part in self._parts()), seconds)
        return time.monotonic() - began

    def wait_refused(self, commit: str, seconds: float = 180.0) -> str:
        """Waits until the commit is refused; why."""
        refused: list[str] = []

        def is_refused() -> bool:
            known = [part["refused"] for part in self._parts() if part.get("refused")]
            refused[:] = [one["why"] for one in known if one["commit"] == commit]
            return bool(refused)

        self.until(is_refused, seconds)
        return refused[0]

    def until(self, condition: Callable[[], bool], seconds: float = 180.0) -> None:
        """Waits for a condition; on failure shows the log."""

        def found() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return condition()

        try:
            wait_for(found, seconds, "the condition", every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(patience(120))

    def _parts(self) -> list[dict[str, Any]]:
        state = self.state()
        return [state[name] for name in ("code", "dbt") if name in state]


def told_commit(channel: grpc.Channel, variable: str = "DATA_PLATFORM_CODE_COMMIT", timeout: float = 60.0) -> str:
    """As Running.told_commit, on an open channel."""
    reply: bytes = channel.unary_unary(_LIST)(b"", timeout=timeout)
    found = re.search(rf"{variable}=(\w+)".encode(), reply)
    return found[1].decode() if found else ""


@contextmanager
def running(
    folder: Path, url: str | Path, ref: str = "main", poll: float = 0.3, **environment: str
) -> Iterator[Running]:
    """Starts a code server whose state is kept in `folder`, and ends it."""
    server = start(folder, url, ref, poll, **environment)
    try:
        yield server
    finally:
        server.stop()


def start(folder: Path, url: str | Path, ref: str = "main", poll: float = 0.3, **environment: str) -> Running:
    """As `running`, to be stopped by the caller."""
    port, web = own_port(), own_port()
    home = folder / "home"
    if not home.exists():
        shutil.copytree(_home(), home)
    command = [str(Path(sys.executable).with_name("data-platform")), "code-server", "--git", str(url), "--ref", ref]
    command += ["--port", str(port), "--webhook-port", str(web), "--poll", str(poll)]
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    known |= {"DATA_PLATFORM_STATE_DIR": str(folder / "state"), "DAGSTER_HOME": str(home), "SEEN": str(folder / "seen")}
    log = folder / "code-server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**known, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Running(process, port, web, log)


@functools.cache
def _home() -> Path:
    """A DAGSTER_HOME with SQLite's tables, to be copied: two processes that make them fail each other."""
    home = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, home)
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
        assert instance.schedule_storage is not None
    return home
