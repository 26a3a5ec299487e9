"""Emptying inbound: the messages of a long wait, and runs that end late."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from data_platform.cli.run import inbound
from data_platform.cli.run.inbound import InboundStalled, drain
from data_platform.cli.run.outcome import RunOutcome
from data_platform.landing.inbox import Scan


class Quiet:
    """Runs of which none ends for so many ticks."""

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks

    @property
    def busy(self) -> bool:
        return self.ticks > 0

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        self.ticks -= 1
        return iter(())


def test_a_long_wait_says_for_what_and_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(
        inbound, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    )
    left: Any = Scan(ready=[SimpleNamespace()] * 1200)  # type: ignore[list-item]
    location: Any = Quiet(4)
    scans = iter([left] * 4 + [Scan()])
    monkeypatch.setattr(inbound, "look", lambda bucket, feeds: next(scans))
    told: list[str] = []
    drain(location, SimpleNamespace(), [], on_wait=lambda n: None, on_run=lambda n, run: None, tell=told.append)  # type: ignore[arg-type]
    assert told and all("still waiting for 1,200 files; `data-platform deliveries pending`" in line for line in told)


def test_files_that_no_run_takes_in_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(
        inbound, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    )
    left: Any = Scan(ready=[SimpleNamespace()])  # type: ignore[list-item]
    monkeypatch.setattr(inbound, "look", lambda bucket, feeds: left)
    idle: Any = Quiet(0)
    with pytest.raises(InboundStalled, match="No run has ended for 15 min; still waiting for a file"):
        drain(idle, SimpleNamespace(), [], on_wait=lambda n: None, on_run=lambda n, run: None)  # type: ignore[arg-type]


def test_a_run_that_ends_after_the_last_look_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = RunOutcome("a run", True)
    taken = iter([[], [(3, ended)]])
    location: Any = SimpleNamespace(take_in=lambda: iter(next(taken)), busy=False)
    monkeypatch.setattr(inbound, "look", lambda bucket, feeds: Scan())
    told: list[tuple[int, RunOutcome]] = []
    done = drain(location, SimpleNamespace(), [], on_wait=lambda n: None, on_run=lambda *run: told.append(run))  # type: ignore[arg-type]
    assert (done.runs, told) == ([ended], [(3, ended)])
