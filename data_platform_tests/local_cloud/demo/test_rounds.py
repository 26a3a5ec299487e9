"""`data-platform run --again`: rounds, and how one that was interrupted goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data_platform.local_cloud.demo.day import Demo
from data_platform.local_cloud.demo.drop_log import DropLog
from data_platform.local_cloud.demo.key import AnswerKey


class Rounds:
    """The demo on a cloud into which nothing has been dropped. What it drops is only noted."""

    def __init__(self, state_dir: Path, key: AnswerKey) -> None:
        settings: Any = SimpleNamespace(state_dir=state_dir)
        self._settings = settings
        waves = [wave for both in zip(key.register, key.waves, strict=True) for wave in both]
        self._due = [each for wave in (key.stored, *waves) for each in wave]

    @property
    def demo(self) -> Demo:
        """As the next command sees it."""
        return Demo("small", self._settings)

    def drop(self, most: int | None = None) -> int:
        """Drops what is due, or the first of it; returns how much."""
        log: DropLog = self.demo._log
        due = log.undropped(self._due)[:most]
        for each in due:
            log.note(each)
        return len(due)


@pytest.fixture
def rounds(tmp_path: Path, demo: tuple[Path, AnswerKey], monkeypatch: pytest.MonkeyPatch) -> Rounds:
    folder, key = demo
    monkeypatch.setattr(Demo, "folder", folder)
    return Rounds(tmp_path, key)


def test_the_first_round_is_the_first_whatever_was_asked_for(rounds: Rounds) -> None:
    rounds.demo.begin_again()
    assert rounds.demo.rounds == 1


def test_each_round_drops_everything(rounds: Rounds) -> None:
    every = rounds.drop()
    assert (rounds.demo.all_dropped(), rounds.drop()) == (True, 0)
    rounds.demo.begin_again()
    assert (rounds.demo.rounds, rounds.demo.all_dropped(), rounds.drop()) == (2, False, every)


def test_the_next_run_completes_a_round_that_was_interrupted(rounds: Rounds) -> None:
    every = rounds.drop()
    rounds.demo.begin_again()
    rounds.drop(7)
    assert not rounds.demo.all_dropped(), "a run without --again has something to do"
    rounds.demo.begin_again()
    assert rounds.demo.rounds == 2, "and a run with --again does the same"
    assert rounds.drop() == every - 7
    assert rounds.demo.all_dropped()
