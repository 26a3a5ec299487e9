"""Runs a command to its end, and kills all of its processes on a time-out or when the parent ends. Imports only the
standard library."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class TimedOut(Exception):
    """The child didn't end in time, and was killed."""


def output_of(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    seconds: float,
    folder: Path | None = None,
    holds: Sequence[int] = (),
) -> tuple[int, str, str]:
    """Returns (exit code, stdout, stderr) of a command that sees only `environment`. Kills its whole process group when
    it takes longer than `seconds` (TimedOut), and when an exception ends the wait. The child inherits the descriptors
    `holds`, so that a lock outlives this process. Raises FileNotFoundError."""
    child = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=tuple(holds),
    )
    try:
        printed, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"no end within {seconds:.0f} s") from None
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a grandchild in another session may hold its pipes
                child.communicate(timeout=5)
    return child.returncode, printed, said


def platform_command(*arguments: str) -> list[str]:
    """`data-platform ...` with this Python, and with the code in the child's folder or PYTHONPATH."""
    return [sys.executable, "-W", "ignore", "-c", "from data_platform.cli import main; main()", *arguments]
