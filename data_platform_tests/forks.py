"""A process that forks for each piece of work, so that the work can be killed and needn't import everything again."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


class Forks:
    """`python -m data_platform_tests.forks`. `log`: where the work's errors are written."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "data_platform_tests.forks"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ended(self, work: Callable[..., None], *given: Any) -> int:
        """Calls a module's function in a process of its own, with values that JSON can hold. Returns how it ended: 0,
        or minus the signal's number. Raises AssertionError with the error of work that failed."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([work.__module__, work.__name__, given]) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline()
        assert code.strip() not in ("", "1"), self._log.read_text()
        return int(code)

    def killed(self, work: Callable[..., None], *given: Any) -> bool:
        """Whether the work was killed before it ended."""
        return self.ended(work, *given) == -signal.SIGKILL

    def end(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """A process that forks, for the tests of a module."""
    made = Forks(tmp_path_factory.mktemp("forks") / "log")
    yield made
    made.end()


def _serve() -> None:
    for line in sys.stdin:
        module, name, given = json.loads(line)
        work = getattr(importlib.import_module(module), name)
        child = os.fork()
        if child == 0:
            try:
                work(*given)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
