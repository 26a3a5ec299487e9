"""Reports a run as failed when its process was killed, or was lost with its container or machine. Otherwise Dagster
shows the run as running until its time limit, and the run's files and pools wait for it.

Only for runs that are processes, which hold locks (`run_lock`). On ECS, Dagster's run monitoring asks ECS instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from data_platform.runs import run_lock

if TYPE_CHECKING:  # the code server imports this module, and Dagster only where a run was killed
    import dagster as dg

    from data_platform.environment import Settings

LOOK_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""The pause after a failed report: Dagster's database may be down."""
STARTING_SECONDS = 60.0
"""Within this time after its start, a run takes its lock."""


def report_abandoned(
    instance: dg.DagsterInstance,
    folder: Path,
    *,
    all_here: bool = False,
    starting_seconds: float = STARTING_SECONDS,
) -> list[str]:
    """Reports each run as failed whose lock in `folder` no process holds, so that Dagster retries it. Returns the runs'
    ids. Ignores runs without a lock there, whose processes may be on another machine, unless `all_here`."""
    gone = without_process(instance, folder, starting_seconds=starting_seconds) if all_here else []
    free = run_lock.free(folder)
    unended = [instance.get_run_by_id(lock.stem) for lock in free]
    known = {run.run_id for run in gone}
    gone += [run for run in unended if run is not None and not run.is_finished and run.run_id not in known]
    for run in gone:
        report_gone(instance, run)
    for lock in free:
        lock.unlink(missing_ok=True)
    return [run.run_id for run in gone]


def report_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Reports a run as failed whose process is gone."""
    from data_platform.runs.interrupted import keep_check_results

    instance.report_run_failed(run, "The run's process is gone: it was killed, or ended with its container or machine.")
    keep_check_results(instance, run.run_id)


def all_runs_are_here(given: Settings) -> bool:
    """Whether every run of this Dagster instance is a process of this machine: a started run that holds no lock is gone
    then, whatever happened to its lock file."""
    return given.environment == "local" and given.runs_on == "process"


def without_process(
    instance: dg.DagsterInstance, folder: Path, *, starting_seconds: float = STARTING_SECONDS
) -> list[dg.DagsterRun]:
    """The started runs whose lock in `folder` no process holds, without those of the last `starting_seconds`. Only
    where `all_runs_are_here`."""
    import dagster as dg

    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    before = time.time() - starting_seconds
    return [
        record.dagster_run
        for record in records
        if (record.start_time or 0.0) < before and not run_lock.is_held(folder, record.dagster_run.run_id)
    ]


@contextmanager
def abandoned_runs_reported(folder: Path, serving: Callable[[], bool], log: Callable[[str], None]) -> Iterator[None]:
    """Within the block, a thread looks for abandoned runs every few seconds, while `serving` returns True: Dagster's
    retry of a failed run needs the code server. The environment must name Dagster's instance (`Settings.adopt`)."""
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(folder, serving, log, over), name="abandoned", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()


def _look(folder: Path, serving: Callable[[], bool], log: Callable[[str], None], over: threading.Event) -> None:
    pause, before = LOOK_SECONDS, set[Path]()
    while not over.wait(pause):
        pause, found = LOOK_SECONDS, set[Path]()
        try:
            found = set(run_lock.free(folder)) if serving() else found
            if found & before:  # not at first sight: a living code server reports its own run, with the exit code
                _report(folder, log)
        except Exception as error:  # the database is down, or the disk is full
            pause = RETRY_SECONDS
            log(f"abandoned runs can't be reported, next attempt in {pause:.0f} s: {type(error).__name__}: {error}")
        before = found


def _report(folder: Path, log: Callable[[str], None]) -> None:
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        for run_id in report_abandoned(instance, folder):
            log(f"run {run_id} was killed; reported it as failed")
