"""Has runs marked as failed whose process was killed, as by a reboot of the machine or for memory. A code server's runs
are its backends' children; they may outlive both, which their locks tell. What marks them is a process of its own, as
Dagster isn't known here, and there is one only where a lock was found free.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data_platform import run_lock
from data_platform.code.child import TimedOut, output_of
from data_platform.code.tree import excerpt, state_dir

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 60.0
"""The pause after a report that failed: Dagster's database may be away."""
REPORT_SECONDS = 120.0
_REPORT = ("-W", "ignore", "-m", "data_platform.runs.abandoned")


@contextmanager
def abandoned_runs_reported(
    environment: Mapping[str, str], serving: Callable[[], bool], log: Callable[[str], None]
) -> Iterator[None]:
    """Looks every few seconds, meanwhile, in a thread. Only while code is `serving`, as Dagster's retry of a failed run
    asks the code server for it."""
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(environment, serving, log, over), name="abandoned", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()


def _look(
    environment: Mapping[str, str], serving: Callable[[], bool], log: Callable[[str], None], over: threading.Event
) -> None:
    folder = run_lock.folder_in(state_dir(environment))
    pause, before = LOOK_SECONDS, set[Path]()
    while not over.wait(pause):
        found = set[Path]()
        try:
            if serving():
                found = set(run_lock.free(folder))
            # At the second look: a backend that lives reports its own child within a second, and with its exit code.
            failed = bool(found & before) and not _report(environment, log)
        except OSError as error:  # a full disk, say
            failed = True
            log(f"looking for abandoned runs: {error}")
        pause, before = AGAIN_SECONDS if failed else LOOK_SECONDS, found


def _report(environment: Mapping[str, str], log: Callable[[str], None]) -> bool:
    """Whether it could be done."""
    try:
        code, printed, errors = output_of([sys.executable, *_REPORT], environment, seconds=REPORT_SECONDS)
    except TimedOut as error:
        code, printed, errors = 1, "", str(error)
    for line in printed.splitlines():
        log(line)
    if code != 0:
        log(f"abandoned runs can't be reported now, and are again in {AGAIN_SECONDS:.0f} s: {excerpt(errors)}")
    return code == 0
