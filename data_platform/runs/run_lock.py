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


def folder_in(state_dir: Path) -> Path:
    """The folder of the lock files, the same for all processes that execute a deployment's runs on this machine."""
    return (state_dir / "runs").absolute()


@contextmanager
def held(folder: Path, run_id: str, over: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Holds a run's lock while this process executes the run. If `over` returns False or raises at the end, the file
    stays, and `free` returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.lock"
    made = path.with_suffix(".new")
    with made.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.replace(path)  # lock it, then name it: `free` must never return it while this process lives
        try:
            yield
        finally:
            if over():
                path.unlink(missing_ok=True)


def free(folder: Path) -> list[Path]:
    """The lock files that no process holds. A file's stem is its run's id."""
    return sorted(path for path in folder.glob("*.lock") if _is_free(path))


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(lock.fileno()).st_nlink > 0  # 0: its process removed it just now, at the run's end
    except (FileNotFoundError, BlockingIOError):
        return False
