"""Runs whose process is gone: killed, or lost with its container or machine. Dagster would show them as running until
its time limit, the landing sensor leave their files to them, and the queue hold their pools for them.

On ECS, Dagster's run monitoring asks ECS instead. As a program (`python -m`) this reports what it finds to the instance
of the settings, which the code server has done.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from data_platform import run_lock
from data_platform.environment import settings


def report_abandoned(instance: dg.DagsterInstance, folder: Path) -> list[str]:
    """Marks runs as failed whose lock in `folder` no process holds, so that what they left is done again. Returns their
    ids. A run that has no lock there is left alone: its process may live where this one can't see it."""
    gone = []
    for lock in run_lock.free(folder):
        run = instance.get_run_by_id(lock.stem)
        if run is not None and not run.is_finished:
            instance.report_run_failed(
                run, "The run's process is gone: it was killed, or ended with its container or its machine."
            )
            gone.append(run.run_id)
        lock.unlink(missing_ok=True)
    return gone


def main() -> None:
    """Reports, and prints a line for each run."""
    given = settings().adopt()
    with dg.DagsterInstance.get() as instance:
        for run_id in report_abandoned(instance, run_lock.folder_in(given.state_dir)):
            print(f"run {run_id} was killed: it counts as failed now")  # noqa: T201


if __name__ == "__main__":
    main()
