"""Who is at work with a state folder: `data-platform dev`, by its claim, and runs, by their locks. The operating system
frees both however their processes end."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from data_platform.runs import run_lock

DEV_STARTED = "dev.started"
"""The file below the state folder that says: daemons are started by `dev`, as processes that this machine shows. It
holds the UI's address."""


def dev_workspace(state_dir: Path) -> Path:
    """The workspace file that `dev` writes: it names the code server of that `dev`."""
    return state_dir.absolute() / "code" / "workspace.yaml"


class DevAtWork(Exception):
    """Another `dev` is at work with the state folder. The message has its address."""


@contextmanager
def dev_claim(state_dir: Path) -> Iterator[TextIO]:
    """Claims the state folder for a `dev`; two would fight over its runs. Yields the file to write the UI's address to.
    The claim ends with the process and those that inherit the open file. Raises DevAtWork."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / DEV_STARTED).open("a+", encoding="utf-8") as claim:
        if (address := dev_at_work(state_dir)) is not None:
            raise DevAtWork(f"`data-platform dev` is already running here: {address}")
        fcntl.flock(claim, fcntl.LOCK_EX)
        claim.truncate(0)
        yield claim


def dev_at_work(state_dir: Path) -> str | None:
    """The address of the `dev` that is at work with this state folder; None if there is none."""
    try:
        with (state_dir / DEV_STARTED).open(encoding="utf-8") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return claim.read().strip() or "it is just starting"
    except FileNotFoundError:
        pass
    return None


def runs_at_work(state_dir: Path) -> list[str]:
    """The ids of the runs that processes of this machine execute."""
    folder = run_lock.folder_in(state_dir)
    held = set(folder.glob("*.lock")) - set(run_lock.free(folder))
    return sorted(path.stem for path in held if path.exists())
