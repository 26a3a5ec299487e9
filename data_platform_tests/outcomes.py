"""A pytest plugin that writes what happens in a session to a file, one JSON line per event, as it happens.

What the lines mean for the session is in server_suites.py, which also reads those of sessions that crashed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REASON_CHARACTERS = 1500
"""How much of a failure's message is kept."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="append the session's events to this file")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--outcomes")
    if path and not hasattr(config, "workerinput"):  # xdist's workers report to the session that started them
        config.pluginmanager.register(Outcomes(path))


class Outcomes:
    """Writes the lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(collected=[item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._write(collected=list(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(not_collected=report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        crash = getattr(report.longrepr, "reprcrash", None) if report.failed else None
        reason = str(crash.message if crash else report.longrepr or "")[:REASON_CHARACTERS] if report.failed else ""
        outcome = {"outcome": report.outcome, "reason": reason}
        self._write(test=report.nodeid, when=report.when, seconds=report.duration, **outcome)

    def _write(self, **event: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
