"""Running a program to its end; one that hangs is made to say where.

done = ended(["data-platform", "run"], environment=environment, seconds=600, log=state_dir / "logs" / "run.log")
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_LAST_LINES = 120


def ended(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    seconds: float,
    log: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a Python program and waits for its end.

    Raises AssertionError for one that does not end in so many seconds, and ends it: with the processes it had started,
    what it wrote, the stacks of its threads, and the end of `log`, to which it may have sent them.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment, "PYTHONFAULTHANDLER": "1"},  # SIGABRT shows all stacks
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(command, process.returncode, out, err)
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        family = "\n".join(_described(child) for child in children)
        process.send_signal(signal.SIGABRT)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()  # they hold its pipes
        out, err = process.communicate(timeout=30)
        said = f"{out[-4000:]}\n{err[-8000:]}"
        raise AssertionError(
            f"{' '.join(command)} has not ended within {seconds:.0f} s.\nIts processes:\n{family}\n{said}\n{_end(log)}"
        ) from None
    finally:
        process.kill()
        process.wait()


def _described(process: psutil.Process) -> str:
    try:
        return f"  {process.pid} {process.status()} cpu {sum(process.cpu_times()[:2]):.1f} s: {process.cmdline()}"
    except psutil.Error:
        return f"  {process.pid} gone"


def _end(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join((f"The end of {log}:", *lines))
