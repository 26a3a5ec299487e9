"""One part of the local cloud as a process: start it detached, tell whether it runs, stop it.

A part is recognized by its command line, which names its data directory: another program may have its process id by
now. `aws`, `warehouse`, `postgres` and `web_apis` say what a part is and when it is healthy.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from data_platform.local_cloud.layout import Layout, write_atomically

LOG_LIMIT = 5_000_000
"""Bytes. A longer log is renamed to `.log.1` when its part starts."""


STOP_SECONDS = 20.0
"""How long a part may take to save its state and stop before it is killed."""


class PartNotReady(Exception):
    """The part does not answer, or not yet."""


class PartBroken(PartNotReady):
    """The part will never answer; the message says what to do."""


@dataclass(frozen=True)
class Part:
    """A process of the local cloud.

    `command` must contain the part's data directory, so that no other process can be taken for it. `ready`
    raises PartNotReady until the part answers. `prepare` runs before the first start and every later one.
    """

    name: str
    command: tuple[str, ...]
    ports: Mapping[str, int]
    ready: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    serves: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    user: str | None = None
    """The system user (and group) to run as, if not this one. Only root can set it."""


@dataclass(frozen=True)
class Record:
    """A part's process, written when it starts. It stays when the part is stopped, so that the next start prefers the
    same ports."""

    pid: int
    command: tuple[str, ...]
    ports: Mapping[str, int]
    started_at: str
    stopped: bool = False

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """The record; None if the file is missing or unreadable."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                int(fields["pid"]),
                tuple(fields["command"]),
                dict(fields["ports"]),
                str(fields["started_at"]),
                bool(fields["stopped"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def process(self) -> psutil.Process | None:
        """The running process of this record; None if it ended, even where another program has its process id now."""
        if self.stopped:
            return None
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and _command_line(process) == self.command
            return process if alive else None
        except psutil.Error:
            return None


def _command_line(process: psutil.Process) -> tuple[str, ...]:
    """Read a process's command line, which is empty for an instant while the process starts."""
    for _ in range(100):
        if found := process.cmdline():
            return tuple(found)
        time.sleep(0.01)
    return ()


def hermetic_environment(layout: Layout, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's whole environment. It inherits nothing, so that a developer's AWS profile, proxy, Python path or
    Snowflake account, in variables or in dot files, can't reach a part or break it."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(layout.home),
        "TMPDIR": tempfile.gettempdir(),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "PYTHONUNBUFFERED": "1",
        **(extra or {}),
    }


def start(part: Part, layout: Layout) -> Record:
    """Start a part in a session of its own, its output appended to its log. Returns once the program runs."""
    log = layout.log(part.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    with log.open("ab") as output:
        output.write(f"--- {started_at} starting {part.name}\n".encode())
        output.flush()
        child = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=hermetic_environment(layout, part.environment),
            cwd=layout.root,
            start_new_session=True,
            user=part.user,
            group=part.user,
            extra_groups=None if part.user is None else (),
        )
    record = Record(child.pid, part.command, dict(part.ports), started_at)
    record.save(layout.record(part.name))
    return record


def strays(name: str, layout: Layout) -> list[psutil.Process]:
    """Processes that use a part's data although no record names them: an `up` was killed before it wrote the record, or
    PostgreSQL's workers briefly outlive their killed parent."""
    data = str(layout.data(name))
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = process.cmdline() or [""]
            server = Path(command[0]).name == "postgres" or any(
                argument.startswith("data_platform.local_cloud.") for argument in command
            )
            if (server and data in command) or (command[0].startswith("postgres:") and process.cwd() == data):
                found.append(process)
    return found


def stop(process: psutil.Process, *, first: signal.Signals) -> bool:
    """Stop a process and its descendants: send `first`, wait up to STOP_SECONDS, then kill.

    Returns False if it had to kill.
    """
    family = [process, *_descendants(process)]
    with contextlib.suppress(psutil.Error):
        process.send_signal(first)
    obeyed = not _alive_after([process], STOP_SECONDS)
    # A parent that stops in order ends its children; those that are left after a moment are orphans.
    left = _alive_after(family, 1.0 if obeyed else 0.0)
    for survivor in left:
        with contextlib.suppress(psutil.Error):
            survivor.kill()
    _alive_after(left, 10.0)
    return obeyed


def log_tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log since the part's latest start."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return "(no log)"
    since_start: list[str] = []
    for line in text.splitlines():
        is_start = line.startswith("--- ") and " starting " in line
        since_start = [] if is_start else [*since_start, line]
    return "\n".join(since_start[-lines:]) or "(nothing was logged)"


def wait_until_ready(part: Part, record: Record, *, seconds: float) -> None:
    """Wait until the part itself answers, not another program on its port. Raises PartNotReady when its process ends or
    after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while True:
        try:
            _check_listening(part, record)
            part.ready()
            return
        except PartBroken:
            raise
        except PartNotReady as error:
            reason = str(error)
        if record.process() is None:
            raise PartNotReady("its process ended")
        if time.monotonic() > deadline:
            raise PartNotReady(f"no answer within {seconds:.0f} s ({reason})")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


def _check_listening(part: Part, record: Record) -> None:
    """Raise PartNotReady unless the part's process, or a child of it, listens on the part's port."""
    port = part.ports.get(part.name)
    if port is None:
        return
    try:
        process = psutil.Process(record.pid)
        for each in (process, *_descendants(process)):
            for connection in each.net_connections("tcp4"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return
    except psutil.Error:
        pass  # it just ended, or just started and has yet to change its user
    raise PartNotReady(f"it does not listen on port {port}")


def _alive_after(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """The processes that still run after at most `seconds`. A zombie has ended: in a container it may never be
    reaped."""
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if not _ended(process)]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(0.05)


def _ended(process: psutil.Process) -> bool:
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return False
        process.wait(0)  # reaps it, if it is ours
    except psutil.Error:
        pass
    return True


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []
