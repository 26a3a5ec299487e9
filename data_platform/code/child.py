"""A child process that is waited for, and that leaves nothing behind when its time is over or its parent is told to
end. Only the standard library is imported."""

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
    """(exit code, stdout, stderr) of a command that sees `environment` only. Its whole process group is killed when it
    takes longer than `seconds` (TimedOut), and when this process leaves in between. It keeps the descriptors `holds`: a
    lock is held while the child lives, also when this process was killed. Raises FileNotFoundError."""
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
            with contextlib.suppress(subprocess.TimeoutExpired):  # a grandchild of another session has its pipes
                child.communicate(timeout=5)
    return child.returncode, printed, said


def platform_command(*arguments: str) -> list[str]:
    """`data-platform ...` by the code that the child's folder and PYTHONPATH name, with this Python."""
    return [sys.executable, "-W", "ignore", "-c", "from data_platform.cli import main; main()", *arguments]
