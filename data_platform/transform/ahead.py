"""A dbt process that starts before its command is known: it imports dbt and parses the project meanwhile, which is
more than a third of a small build. `data-platform run` starts one while it loads files.

The other side, in dbt's process, is in `transform.dbt`.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_platform.environment import Settings
from data_platform.transform.process import AHEAD, artifacts_dir, dbt_command, dbt_environment, reuse_parse

_started: dict[Path, subprocess.Popen[bytes]] = {}
"""The processes that wait for their command, by project folder."""


@contextmanager
def started_ahead(given: Settings, project_dir: Path) -> Iterator[None]:
    """Starts dbt for a project. Within the block, the first `take` of this project gets the process. The block's end
    ends a process that nobody took."""
    target = artifacts_dir(given) / f"ahead-{uuid.uuid4().hex[:8]}"
    reuse_parse(artifacts_dir(given), target, project_dir)
    _started[project_dir.resolve()] = subprocess.Popen(
        dbt_command(AHEAD),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dbt_environment(given, project_dir, target),
        cwd=project_dir,
    )
    try:
        yield
    finally:
        if process := _started.pop(project_dir.resolve(), None):
            process.kill()
            process.communicate()


def take(project_dir: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Gives the waiting process its dbt arguments and complete environment. Its output and exit code are dbt's. None if
    no process waits for this project."""
    process = _started.pop(project_dir.resolve(), None)
    if process is None or process.stdin is None or process.poll() is not None:
        return None
    with process.stdin as asked:
        asked.write(json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode())
    process.stdin = None  # Popen would flush it
    return process
