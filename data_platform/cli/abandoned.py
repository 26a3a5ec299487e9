"""Runs whose process is gone: killed, or lost with the machine. Dagster would show them as running for ever, and the
landing sensor would leave their files to them.

A run of `data-platform run` holds a lock on a file named for it, which the system frees however the process ends. A run
of `dev` knows the code server that executes it. On ECS, Dagster's run monitoring asks ECS instead.
"""

from __future__ import annotations

import errno
import fcntl
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_CODE_SERVER = ".dagster/grpc_info"  # the tag by which Dagster's default launcher finds a run's code server again


@contextmanager
def held(folder: Path, run_id: str) -> Iterator[None]:
    """Holds a run's lock while this process executes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_id}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def report_abandoned(instance: dg.DagsterInstance, folder: Path) -> list[str]:
    """Marks runs under way whose process is gone as failed, so that what they left is done again. Returns their ids."""
    gone = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)):
        lock = folder / f"{run.run_id}.lock"
        if not _is_free(lock) and not _server_is_gone(run.tags):
            continue
        now = instance.get_run_by_id(run.run_id)
        if now is not None and not now.is_finished:  # it may have come to its own end since it was listed
            instance.report_run_failed(run, "The run's process is gone: it was killed, or ended with its machine.")
            lock.unlink(missing_ok=True)
            gone.append(run.run_id)
    return gone


def _is_free(path: Path) -> bool:
    """Whether there is a lock file that no process holds."""
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except (FileNotFoundError, BlockingIOError):
        return False


def _server_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the run was given to a code server of this machine that nobody listens for any more."""
    if _CODE_SERVER not in tags:
        return False
    server = json.loads(tags[_CODE_SERVER])
    if server.get("host") not in ("localhost", "127.0.0.1"):
        return False
    if "socket" in server:
        family, address = socket.AF_UNIX, server["socket"]
    else:
        family, address = socket.AF_INET, (server["host"], int(server["port"]))
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        # Anything else, as EAGAIN from a socket that many are calling, comes of one that is there.
        return probe.connect_ex(address) in (errno.ECONNREFUSED, errno.ENOENT)
