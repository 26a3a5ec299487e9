"""The process that provisions, as the supervisor sees it. What it makes is in `provision`, and what is to be made in
`plan`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.plan import Plan
from data_platform.local_cloud.processes import hermetic_environment

SECONDS = 120.0


class ProvisioningFailed(Exception):
    """Not everything could be made; the log says why."""


@contextlib.contextmanager
def begun(layout: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the process. It loads its libraries while the parts start, then waits for `finish`."""
    with layout.log("provision").open("wb") as output:
        output.write(b"--- starting provision\n")
        output.flush()
        process = subprocess.Popen(
            (sys.executable, "-m", "data_platform.local_cloud.provision"),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=hermetic_environment(layout),
            cwd=layout.root,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def finish(process: subprocess.Popen[bytes], plan: Plan) -> None:
    """Has it make what the plan says. Raises ProvisioningFailed."""
    try:
        process.communicate(plan.to_json().encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ProvisioningFailed(f"not done within {SECONDS:.0f} s") from None
    if process.returncode != 0:
        raise ProvisioningFailed(
            "buckets, SFTP users, databases or what runs as tasks need could not be made (did keys change? run"
            " `data-platform down`)"
        )
