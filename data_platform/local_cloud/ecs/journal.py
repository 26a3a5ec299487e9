"""The tasks on disk, one file each, so that a server that was killed still knows those it ran.

ministack saves its state only when it stops in order, and ECS never forgets a task that it accepted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_platform.local_cloud.layout import write_atomically

STOPPED_KEPT = 3600.0
"""Seconds for which DescribeTasks still finds a stopped task: on AWS at least an hour."""


class Journal:
    """Tasks by id, as DescribeTasks shows them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, task: Mapping[str, Any]) -> None:
        """Write a task's current state."""
        shown = {name: value for name, value in task.items() if not name.startswith("_")}
        write_atomically(self._path(task["taskArn"]), json.dumps(shown))

    def forget(self, task_arn: str) -> None:
        self._path(task_arn).unlink(missing_ok=True)

    def tasks(self) -> Iterator[dict[str, Any]]:
        """Every task that is not too old, oldest first. Deletes incomplete files."""
        oldest = time.time() - STOPPED_KEPT
        written = [(path.stat().st_mtime, path) for path in self._folder.glob("*.json")]
        for at, path in sorted(written):
            try:
                task = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                path.unlink()
                continue
            if at < oldest and task["lastStatus"] == "STOPPED":
                path.unlink()
            else:
                yield task

    def _path(self, task_arn: str) -> Path:
        return self._folder / f"{task_arn.rsplit('/', 1)[-1]}.json"
