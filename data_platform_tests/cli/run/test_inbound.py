"""Emptying inbound: the messages of a long wait, and runs that end late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from data_platform.cli.run import inbound
from data_platform.cli.run.inbound import Drained, InboundStalled, drain
from data_platform.cli.run.outcome import RunOutcome
from data_platform_tests.landing.test_inbox import Objects, feed


class Runs:
    """Runs that are under way for some looks, and then have loaded everything. One of them ends after the last look."""

    def __init__(self, files: int, looks: int, late: RunOutcome | None = None) -> None:
        self.bucket: Any = Objects({f"inbound/p/f_20260301.{number}.csv": 99 for number in range(files)})
        self.looks, self.late = looks, late

    @property
    def busy(self) -> bool:
        return self.looks > 0

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        self.looks -= 1
        if self.looks == 0:
            self.bucket.objects.clear()
        if self.looks < 0 and self.late and not self.bucket.objects:
            yield 3, self.late

    def drained(self, told: list[Any]) -> Drained:
        every = [feed(pattern=r"f_(?P<day>\d{8})\.\d+\.csv")]
        return drain(
            self, self.bucket, every, on_wait=lambda n: None, on_run=lambda *run: told.append(run), tell=told.append
        )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "_LONGEST_WAIT", 0.01)


def test_a_long_wait_says_for_what_and_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "_TELL_EVERY", 0.0)
    told: list[Any] = []
    Runs(1200, looks=3).drained(told)
    assert told[0].startswith("still waiting for 1,200 files; `data-platform deliveries pending`")


def test_files_that_no_run_takes_in_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "_GIVE_UP", 0.05)
    with pytest.raises(InboundStalled, match="No run has ended for 0 min; still waiting for a file"):
        Runs(1, looks=0).drained([])


def test_a_run_that_ends_after_the_last_look_is_told_too() -> None:
    ended, told = RunOutcome("a run", True), list[Any]()
    assert Runs(1, looks=1, late=ended).drained(told).runs == [ended]
    assert told == [(3, ended)]
