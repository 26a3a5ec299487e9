"""Runs in the process of `data-platform run`. What they do is seen in `test_run.py` and `end_to_end/`."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from data_platform.cli.run import location
from data_platform.cli.run.location import CodeLocation


def test_progress_is_told_on_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_POLL_SECONDS", 0.01)
    away = [ConnectionError("the server closed the connection")]
    told = threading.Event()

    def has_run(run_id: str) -> bool:
        if away:
            raise away.pop()
        return True

    stats = SimpleNamespace(materializations=3)
    watching: Any = SimpleNamespace(instance=SimpleNamespace(has_run=has_run, get_run_stats=lambda run_id: stats))
    with CodeLocation._watched(watching, "run", lambda done: told.set()):
        assert told.wait(60)
