"""Decides whether to provision, and runs the process that does: `provision`, with the `plan`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping

from data_platform.local_cloud.layout import Layout, write_atomically
from data_platform.local_cloud.plan import Plan
from data_platform.local_cloud.processes import Record, hermetic_environment

SECONDS = 120.0


class ProvisioningFailed(Exception):
    """Provisioning failed; its log says why."""


def is_done(layout: Layout, plan: Plan, records: Mapping[str, Record]) -> bool:
    """Whether these processes were provisioned with this plan, and their data folders are still the same."""
    try:
        return layout.provisioned.read_text(encoding="utf-8") == _fingerprint(layout, plan, records)
    except OSError:
        return False


def note_done(layout: Layout, plan: Plan, records: Mapping[str, Record]) -> None:
    """Remember it for the next `up`."""
    with contextlib.suppress(FileNotFoundError):  # of a folder that was removed under its part
        write_atomically(layout.provisioned, _fingerprint(layout, plan, records))


def _fingerprint(layout: Layout, plan: Plan, records: Mapping[str, Record]) -> str:
    """A hash, because the plan holds passwords. Raises FileNotFoundError where a part's data folder is missing."""
    parts = [
        (name, record.pid, record.started_at, layout.data(name).stat().st_ino)
        for name, record in sorted(records.items())
    ]
    return hashlib.sha256(json.dumps([plan.to_json(), parts]).encode()).hexdigest()


@contextlib.contextmanager
def begun(layout: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process. It loads its libraries while the parts start, then waits for its plan."""
    layout.provisioned.unlink(
        missing_ok=True
    )  # written again when all is made, so that an `up` cut off half-way is repeated
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
    """Give the process its plan and wait for its end. Raises ProvisioningFailed."""
    try:
        process.communicate(plan.to_json().encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ProvisioningFailed(f"not done within {SECONDS:.0f} s") from None
    if process.returncode != 0:
        raise ProvisioningFailed(
            "could not create the buckets, SFTP users, databases or the resources of ECS (if keys changed, run"
            " `data-platform down` first)"
        )
