"""Which runs have a process: it holds a lock on a file named for its run, below the state folder. The system frees the
lock however its holder ends, with its container or its machine too, so that a free one tells for certain.

Only the standard library is imported, as the code server looks too. What becomes of a run is not decided here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def folder_in(state_dir: Path) -> Path:
    """Where the files are. All that runs a deployment's runs on this machine, or in this container, shares it."""
    return (state_dir / "runs").absolute()


@contextmanager
def held(folder: Path, run_id: str, over: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Holds a run's lock while this process executes it. `over` is asked at the end: where it is false, or fails, the
    file stays, to be found free."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.lock"
    made = path.with_suffix(".new")
    with made.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.replace(path)  # locked before it has its name: it is never found free while this process lives
        try:
            yield
        finally:
            if over():
                path.unlink(missing_ok=True)


def free(folder: Path) -> list[Path]:
    """The files whose processes ended without a word. A file's stem is its run's id."""
    return sorted(path for path in folder.glob("*.lock") if _is_free(path))


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(lock.fileno()).st_nlink > 0  # without a name its process has let go of it just now
    except (FileNotFoundError, BlockingIOError):
        return False
