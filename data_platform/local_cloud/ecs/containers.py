"""All containers, behind the interface of the `docker` module that ministack calls.

A container's environment comes from its image and its task, never from the server's own.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from data_platform.local_cloud.ecs import images
from data_platform.local_cloud.ecs.container import NAME_LABEL, TASK_LABEL, Container
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK

LOGS_KEPT = 200


class CannotStart(Exception):
    """The container can't start. The message is worded as Fargate's agent does."""


class Containers:
    """All containers, by id. `client()` stands in for a Docker client."""

    def __init__(self, state: Path, data: Path, on_exit: Callable[[str], None]) -> None:
        self._images = Layout.at(state).images
        self._logs = state / "logs" / "tasks"
        self._homes = data / "ecs" / "homes"
        self._on_exit = on_exit
        self._known: dict[str, Container] = {}
        self.started = threading.Event()
        shutil.rmtree(self._homes, ignore_errors=True)  # of a server that was killed

    def client(self) -> Any:
        return SimpleNamespace(containers=self)

    def get(self, reference: str) -> Any:
        """A container; for any other name, an answer that says where containers reach this machine."""
        return self._known.get(reference) or SimpleNamespace(
            attrs={"NetworkSettings": {"Networks": {"loopback": {"IPAddress": LOOPBACK}}}}
        )

    def running(self) -> list[Container]:
        return [container for container in tuple(self._known.values()) if container.exit_code is None]

    def of_task(self, task_arn: str) -> list[Container]:
        """A task's containers in the order of their start, including those that ended."""
        return [container for container in tuple(self._known.values()) if container.task_arn == task_arn]

    def forget(self, task_arn: str) -> None:
        """Remove what a stopped task leaves, except its log."""
        for container in self.of_task(task_arn):
            del self._known[container.id]
        shutil.rmtree(self._homes / task_arn.rsplit("/", 1)[-1], ignore_errors=True)

    def run(
        self,
        image: str,
        *,
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        command: Sequence[str] | None = None,
        entrypoint: Sequence[str] | None = None,
        working_dir: str | None = None,
        memory: int | None = None,
        task_memory: int | None = None,
        **unused: Any,
    ) -> Container:
        """Start a container. Raises ImageMissing, CannotStart."""
        found = images.pull(self._images, image)
        name, task = labels[NAME_LABEL], labels[TASK_LABEL].rsplit("/", 1)[-1]
        home = self._homes / task / name
        for folder in (home, home / "tmp"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        surroundings = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **{key: value.replace("{home}", str(home)) for key, value in found.env.items()},
            **environment,
        }
        line = [*entrypoint, *(command or ())] if entrypoint else [*found.entrypoint, *(command or found.command)]
        folder_at = working_dir or found.working_dir.replace("{home}", str(home))
        if not line or shutil.which(line[0], path=surroundings["PATH"]) is None:
            raise CannotStart(
                "CannotStartContainerError: failed to create containerd task: runc create failed: exec:"
                f' "{line[0] if line else ""}": executable file not found in $PATH'
            )
        if not Path(folder_at).is_dir():
            raise CannotStart(f"CannotStartContainerError: chdir to cwd ({folder_at}): no such file or directory")
        self._prune_logs()
        container = Container(
            line,
            surroundings,
            folder_at,
            labels,
            self._logs / f"{task}-{name}.log",
            lambda: self._on_exit(labels[TASK_LABEL]),
            memory,
            task_memory,
        )
        self._known[container.id] = container
        self.started.set()
        return container

    def list(self, **options: Any) -> Any:
        """Those that run, for ministack's reset."""
        return self.running()

    def _prune_logs(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # pruned by the start of another task meanwhile
            for path in sorted(self._logs.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-LOGS_KEPT]:
                path.unlink()
