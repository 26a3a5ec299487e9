"""A run's process holds a lock on a file named after the run, below the state folder. The operating system frees the
lock however the process ends, also with its container or machine, so a free lock proves that the process is gone.

Imports only the standard library, for the code server's sake. `abandoned` decides what happens to the run.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def folder_in(state_dir: Path) -> Path:
    """The folder of the lock files, the same for all processes that execute a deployment's runs on this machine."""
    return (state_dir / "runs").absolute()


@contextmanager
def held(folder: Path, run_id: str, over: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Holds a run's lock while this process executes the run. If `over` returns False or raises at the end, the file
    stays, and `free` returns it."""
    with hold(folder, run_id):
        try:
            yield
        finally:
            if over():
                let_go(folder, run_id)


def hold(folder: Path, run_id: str) -> TextIO:
    """Takes a run's lock, and returns the file that must stay open: closing it, or the process's end, frees the
    lock."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, run_id)
    made = path.with_suffix(".new")
    lock = made.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    made.replace(path)  # lock it, then name it: `free` must never return it while this process lives
    return lock


def let_go(folder: Path, run_id: str) -> None:
    """Removes the lock of a run whose end Dagster has stored."""
    _path(folder, run_id).unlink(missing_ok=True)


def is_held(folder: Path, run_id: str) -> bool:
    """Whether a process executes the run. False too if the run's lock is not in this folder."""
    path = _path(folder, run_id)
    return path.exists() and not _is_free(path)


def free(folder: Path) -> list[Path]:
    """The lock files that no process holds. A file's stem is its run's id."""
    return sorted(path for path in folder.glob("*.lock") if _is_free(path))


def _path(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.lock"


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(lock.fileno()).st_nlink > 0  # 0: its process removed it just now, at the run's end
    except (FileNotFoundError, BlockingIOError):
        return False
