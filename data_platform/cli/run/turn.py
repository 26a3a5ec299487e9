"""One `data-platform run` at a time executes runs on this machine: it holds a lock below the state folder. The system
frees the lock however its holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

LOCK = "run.lock"


@contextmanager
def one_at_a_time(state_dir: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Waits for the lock and holds it within the block. If another process holds it, `tell` gets a line that names the
    process. Ctrl-C ends the wait."""
    path = state_dir / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            tell(f"Waiting for another `data-platform run` to end ({holder}). Ctrl-C gives up.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()}, since {datetime.now().astimezone():%H:%M:%S}")
        lock.flush()
        yield
