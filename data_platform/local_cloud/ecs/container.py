"""A container as a local process, with the interface of docker's. Its output goes to a file, from which ministack's
forwarder reads it for CloudWatch. `lifecycle` decides what the container's end means for its task."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from data_platform.local_cloud.ecs import first_process
from data_platform.local_cloud.ports import LOOPBACK

TASK_LABEL, NAME_LABEL = "com.amazonaws.ecs.task-arn", "com.amazonaws.ecs.container-name"
METADATA = "ECS_CONTAINER_METADATA_URI_V4"
"""A variable whose value only the processes of one container share."""

NICER = 5
"""Tasks run at a lower priority than the servers and the user: nothing enforces Fargate's CPU limits."""


class Container:
    """One container. `memory` and `task_memory`: its own limit and its task's, in bytes; None for no limit."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        labels: Mapping[str, str],
        log: Path,
        on_exit: Callable[[], None],
        memory: int | None = None,
        task_memory: int | None = None,
    ) -> None:
        self.id = secrets.token_hex(32)
        self.labels = dict(labels)
        self.memory, self.task_memory = memory, task_memory
        self.started = time.monotonic()
        self.exit_code: int | None = None
        self.killed_for = ""
        self.read_out = threading.Event()
        self.attrs = {"NetworkSettings": {"Networks": {"loopback": {"IPAddress": LOOPBACK}}}, "State": {}}
        self.mark = f"{METADATA}={environment.get(METADATA)}".encode()
        self._log = log
        self._on_exit = on_exit
        self._ended = threading.Condition()
        self._orders = threading.Lock()
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-S", first_process.__file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            start_new_session=True,
        )
        spec = {"command": list(command), "environment": dict(environment), "folder": folder, "nice": NICER}
        text = json.dumps(spec)  # ASCII, so that its length is that of its bytes
        self._send(f"{len(text)}\n{text}")
        self._thread = threading.Thread(target=self._keep_output, name=f"ecs-output-{self.id[:8]}", daemon=True)
        self._thread.start()

    @property
    def task_arn(self) -> str:
        return self.labels[TASK_LABEL]

    @property
    def name(self) -> str:
        return self.labels[NAME_LABEL]

    @property
    def headless(self) -> bool:
        """Whether something killed its first process while others still run."""
        return self._process.poll() is not None and self.exit_code is None

    @property
    def pid(self) -> int:
        """The id of the first process, of which all others in the container descend."""
        return self._process.pid

    def terminate(self) -> None:
        """Send SIGTERM to the command, as `docker stop` does."""
        self._send("T")

    def kill(self, reason: str = "") -> None:
        """Send SIGKILL to everything in the container. `reason` is reported with its end."""
        self.killed_for = self.killed_for or reason
        self._send("K")

    def _send(self, order: str) -> None:
        with self._orders, contextlib.suppress(BrokenPipeError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(order.encode())
            self._process.stdin.flush()

    def _keep_output(self) -> None:
        """Write the output to the file until the container's last process closes it."""
        assert self._process.stdout is not None and self._process.stdin is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab", buffering=0) as log:
            while chunk := os.read(self._process.stdout.fileno(), 65536):
                with contextlib.suppress(OSError):  # on a full disk the container goes on
                    log.write(chunk)
        code = self._process.wait()
        with self._orders, contextlib.suppress(BrokenPipeError):  # an order that came too late
            self._process.stdin.close()
        self._process.stdout.close()
        with self._ended:
            self.exit_code = code if code >= 0 else 128 - code
            self._ended.notify_all()
        self._on_exit()

    # What ministack calls on docker's containers

    @property
    def status(self) -> str:
        return "running" if self.exit_code is None else "exited"

    def reload(self) -> None:
        """Nothing to do: the status is always current."""

    def wait(self, timeout: float | None = None) -> dict[str, int | None]:
        with self._ended:
            self._ended.wait_for(lambda: self.exit_code is not None, timeout)
        return {"StatusCode": self.exit_code}

    def stop(self, timeout: float = 10) -> None:
        if self.exit_code is None:
            self.terminate()
            if self.wait(timeout)["StatusCode"] is None:
                self.kill()
                self.wait(timeout)

    def remove(self, **options: Any) -> None:
        """Nothing to do: `Containers.forget` removes it with its task."""

    def logs(self, **options: Any) -> Iterator[bytes]:
        """Whole lines, as they arrive, until the container ends."""
        rest = b""
        with self._opened() as log:
            while True:
                ended = self.exit_code is not None
                if chunk := log.read(65536):
                    lines, newline, rest = (rest + chunk).rpartition(b"\n")
                    if newline:
                        yield lines + newline
                elif ended:
                    break
                else:
                    with self._ended:
                        self._ended.wait_for(lambda: self.exit_code is not None, 0.2)
        if rest:
            yield rest
        self.read_out.set()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        while not self._log.exists():
            time.sleep(0.01)
        with self._log.open("rb") as log:
            yield log
