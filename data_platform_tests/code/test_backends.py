"""Which backend calls go to, whatever happens at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from data_platform.code import backends as module
from data_platform.code.backends import Backends
from data_platform.code.release import Release
from data_platform_tests.end_to_end.platform import wait_for

A, B = Release("a" * 40), Release("b" * 40)


class Socket(str):
    """An upstream without calls, known by its name."""

    calls = 0


@dataclass(eq=False)
class Process:
    """A backend as `Backends` sees it."""

    name: str
    release: str = ""
    exit_code: int | None = None
    answers: bool = True
    asked_to_end: bool = False
    pid: int = 0
    told: int = 0

    def __post_init__(self) -> None:
        self.upstream = Socket(self.name)

    def beat(self) -> bool:
        return self.answers

    def ask_to_end(self) -> None:
        self.told += 1
        self.asked_to_end = self.answers

    def kill(self, grace: float = 0.0) -> None:
        self.exit_code = -9

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class Calls:
    """A proxy that only knows where calls go."""

    to: str | None = None

    def use(self, upstream: str | None, why: str = "") -> None:
        self.to = upstream

    def forget(self, upstream: str) -> None:
        """Nothing is known of it."""


@dataclass
class Served:
    """The backends under test. `told` is called with what they log."""

    folder: Path
    calls: Calls = field(default_factory=Calls)
    started: list[Process] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    told: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.backends = Backends(cast(Any, self.calls), self._start, self.folder, self._log)

    def serve(self, release: Release, process: Process) -> Process:
        self.backends.serve(release, cast(Any, process))
        return process

    def _start(self, release: Release) -> Any:
        self.started.append(Process(f"again {len(self.started)}"))
        return self.started[-1]

    def _log(self, line: str) -> None:
        self.lines.append(line)
        self.told(line)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)
    made = Served(tmp_path)
    yield made
    made.backends.stop(0.1)


def test_a_release_that_comes_while_a_death_is_noticed_gets_the_calls(served: Served) -> None:
    def push(line: str) -> None:
        if "restarting it" in line:
            served.serve(B, Process("new"))

    served.told = push
    served.serve(A, Process("dead", exit_code=1))
    wait_for(lambda: served.backends.served == B, 60, "it happens", 0.01)
    time.sleep(1.0)  # the old release was being restarted
    assert served.calls.to == "new"
    assert all(process.exit_code is not None for process in served.started)


def test_one_that_does_not_answer_is_replaced_and_left_alive(served: Served) -> None:
    hangs = served.serve(A, Process("hangs", answers=False, pid=77))
    wait_for(lambda: served.calls.to == "again 0", 60, "it happens", 0.01)
    assert served.backends.served == A
    assert hangs.exit_code is None
    assert 77 in served.backends.processes()
    time.sleep(0.5)
    assert len(served.started) == 1


def test_who_watches_goes_on_after_an_error(served: Served) -> None:
    served.folder.joinpath("x.sock").mkdir()  # a socket that can't be removed
    wait_for(lambda: any("watching the backends" in line for line in served.lines), 60, "it happens", 0.01)
    served.serve(A, Process("dead", exit_code=1))
    wait_for(lambda: served.calls.to == "again 0", 60, "it happens", 0.01)


def test_one_that_was_too_busy_to_be_told_is_told_again_to_end(served: Served) -> None:
    busy = served.serve(A, Process("busy", answers=False))
    draining = threading.Thread(target=served.backends.drain)
    draining.start()
    wait_for(lambda: busy.told > 1, 60, "it happens", 0.01)
    busy.answers = True
    wait_for(lambda: busy.asked_to_end, 60, "it happens", 0.01)
    assert draining.is_alive(), "its runs have not ended yet"
    busy.exit_code = 0
    draining.join(30)
    assert not draining.is_alive()
