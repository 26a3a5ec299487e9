"""`data-platform ledger rebuild`: when it refuses to work, and what it says is left to do. What it recovers is tried in
`landing/test_recovery.py` and, with the command, in `end_to_end/test_commands.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from data_platform.cli import ledger_rebuild
from data_platform.cli.ledger_rebuild import PlatformAtWork, _at_rest, _Feed, _say_what_is_left
from data_platform.cli.run import daemon
from data_platform.feeds.spec import LoadMode
from data_platform.landing.recovery import Recovered
from data_platform.warehouse.ledger import LoadRow
from data_platform.warehouse.recovery import FeedInLake, InTable

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:

        @contextmanager
        def get() -> Iterator[dg.DagsterInstance]:
            yield made

        monkeypatch.setattr(dg.DagsterInstance, "get", get)
        yield made


def at_rest(state_dir: Path) -> None:
    with _at_rest(cast(Any, SimpleNamespace(state_dir=state_dir, environment="dev", runs_on="ecs"))):
        pass


def test_it_works_on_a_platform_at_rest_and_not_beside_a_daemon(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_rest(tmp_path)
    monkeypatch.setattr(daemon, "daemon_at_work", lambda *_: True)
    with pytest.raises(PlatformAtWork, match="desired count to 0"):
        at_rest(tmp_path)


def test_it_names_the_runs_that_are_under_way(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = dg.DagsterRun(job_name="daily", run_id="0123456789", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    with pytest.raises(PlatformAtWork, match="Runs are under way: 01234567"):
        at_rest(tmp_path)


def feed(name: str, mode: LoadMode, rows: int | None, *loads: int, in_lake: bool = True) -> _Feed:
    """A feed whose table has so many rows, with loads of so many."""
    given = [
        LoadRow(f"{name}{place}", "s", name, None, mode, loaded, 1, 1, None, "h", None, NOON, place, NOON)
        for place, loaded in enumerate(loads)
    ]
    manifests: Any = [SimpleNamespace(extract_id=each.extract_id) for each in given] if in_lake else []
    spec: Any = SimpleNamespace(name=f"s/{name}", load_mode=mode)
    return _Feed(spec, FeedInLake(manifests, ()), InTable(rows, ()), Recovered((), given, (), 0), 0, 0)


def test_it_says_which_tables_to_load_again_from_the_lake_and_which_the_lake_has_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    monkeypatch.setattr(ledger_rebuild, "console", lambda: Console(width=200, highlight=False))
    found = [
        feed("whole", "append", 5, 2, 3),
        feed("less", "append", 4, 2, 3),
        feed("gone", "merge", None, 2, 3),
        feed("merged", "merge", 4, 2, 3),
        feed("lost", "append", None, 2, in_lake=False),
        feed("unknown", "replace", 7, in_lake=False),
        feed("new", "replace", None),
    ]
    _say_what_is_left(found)
    said = capsys.readouterr().out
    assert "run --reload --select 'raw/s/less or raw/s/gone'" in said
    assert [line.split()[5].rstrip(":") for line in said.splitlines() if "lacks extracts" in line] == [
        *("s/lost", "s/unknown")
    ]
    assert "whole" not in said and "merged" not in said and "s/new" not in said
