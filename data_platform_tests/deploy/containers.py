"""A running container of an image that `builder` built: its health, its commands, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from data_platform_tests.deploy.dockerfile import command_of, read_stages
from data_platform_tests.end_to_end.platform import patience, wait_for

BASE_PREFIX = Path(sys.base_prefix).resolve()
PATH = f"{BASE_PREFIX}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MORTAL = ("setpriv", "--pdeathsig=KILL")  # ends with this process, whatever that dies of


@dataclass
class Container:
    """A running container: tini is process 1 of its own process namespace."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    environment: Mapping[str, str]

    @property
    def init(self) -> int:
        """tini's process id on this machine. Before tini, a shell makes the mounts. Raises AssertionError."""

        def look() -> int | None:
            assert self.process.poll() is None, f"{self.name} ended:\n{self.output()}"
            children = psutil.Process(self.process.pid).children()
            return next((int(child.pid) for child in children if child.cmdline()[:1] == ["/usr/bin/tini"]), None)

        return wait_for(look, 120, f"{self.name} starts", every=0.02)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def run(self, command: Sequence[str], seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs a command in the container, as `docker exec` does: with its variables, not through its entry point."""
        inside = ["nsenter", f"--target={self.init}", "--mount", "--net", "--pid", "--root", "--wd"]
        return subprocess.run(
            [*inside, *as_user(self.environment), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env={"PATH": PATH},
        )

    def wait_until(self, check: Sequence[str], seconds: float) -> float:
        """Repeats a health check until it succeeds; returns how long that took. Raises AssertionError with the log."""
        began = time.monotonic()
        answers: list[str] = []

        def healthy() -> bool:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.output()}"
            answer = self.run(check)
            answers.append(answer.stdout + answer.stderr)
            return answer.returncode == 0

        try:
            wait_for(healthy, seconds, f"{self.name} is healthy", every=0.3)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{answers[-1:]}\n{self.output()}") from None
        return time.monotonic() - began

    def stop(self, seconds: float = 120) -> tuple[int, float]:
        """Sends the stop signal to process 1, as `docker stop` does; returns the exit code and the seconds it took."""
        began = time.monotonic()
        os.kill(self.init, signal.SIGTERM)
        return self.process.wait(patience(seconds)), time.monotonic() - began


def as_user(environment: Mapping[str, str]) -> list[str]:
    """The words before a command that runs as the image's user, without any privilege, with these variables only."""
    user, _, group = command_of(read_stages(), "runtime", "USER").value.partition(":")
    return [
        *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"),
        *("--inh-caps=-all", "env", "-i", *pairs(environment)),
    ]


def pairs(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
