"""In which order a landing run loads, tells Dagster, and settles. What it does to files and tables: `end_to_end/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from data_platform.automation import landing_run
from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.automation.landing_run import LandingConfig, RequestedDelivery, run_landing
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing import intake
from data_platform.landing.result import IntakeResult
from data_platform.warehouse.load import LoadResult
from data_platform.warehouse.table import TableRef

RULES = FileFeedSpec.of(
    {"source": "p", "table": "f", "pattern": "f", "contract": {"columns": [{"name": "id", "type": "string"}]}}
)
GIVEN_UP = "4 runs failed with it while others succeeded; see their logs"


class Intake:
    """Loads nothing, and notes what it is asked to do."""

    done: list[str]

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def take_in(self, requested: Sequence[Any]) -> IntakeResult:
        self.done.append("loaded")
        return IntakeResult(TableRef("D", "RAW_P", "F"), loads=[LoadResult()])

    def settle(self, result: IntakeResult) -> None:
        self.done.append("settled")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    Intake.done = []
    monkeypatch.setattr(intake, "Intake", Intake)
    monkeypatch.setattr(landing_run, "preview", lambda *_, **__: "")
    monkeypatch.setattr(landing_run, "usage_metadata", dict)
    return Intake.done


def run(done: list[str], give_up: str | None = None) -> None:
    """Runs it as Dagster does, which stores each event before it asks for the next."""
    log = SimpleNamespace(info=lambda _: None, warning=lambda _: None, exception=lambda _: None)
    context: Any = SimpleNamespace(
        selected_asset_keys={lake_key(RULES), raw_key(RULES)},
        selected_asset_check_keys={dg.AssetCheckKey(raw_key(RULES), "contract")},
        has_partition_key=False,
        run_id="r",
        instance=None,
        log=log,
        log_event=lambda _: done.append("told of the table"),
    )
    config = LandingConfig(deliveries=[RequestedDelivery(feed=RULES.name, key="k", give_up=give_up)])
    resources: Any = {
        "lake": SimpleNamespace(lake=lambda: None),
        "landing": SimpleNamespace(bucket=lambda: None),
        "warehouse": SimpleNamespace(open=lambda **_: nullcontext()),
    }
    for event in run_landing(context, config, [RULES], **resources):
        done.append(f"told of {event.check_name}")


def _checks(*_: Any) -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(passed=True, check_name="contract", asset_key=raw_key(RULES))


def _timeout(*_: Any) -> Iterator[dg.AssetCheckResult]:
    raise RuntimeError("Statement reached its statement timeout")


def test_files_leave_inbound_after_dagster_was_told(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_run, "feed_check_results", _checks)
    run(done)
    assert done == ["loaded", "told of the table", "told of contract", "settled"]


def test_what_dagster_could_not_be_told_stays_in_inbound(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_run, "feed_check_results", _timeout)
    with pytest.raises(dg.Failure, match="p/f: Statement reached its statement timeout"):
        run(done)
    assert done == ["loaded"]


def test_what_is_given_up_leaves_inbound_even_so(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_run, "feed_check_results", _timeout)
    with pytest.raises(dg.Failure, match="statement timeout"):
        run(done, GIVEN_UP)
    assert done == ["loaded", "settled"]


def test_a_preview_that_fails_keeps_nothing_from_being_told(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_run, "feed_check_results", _checks)
    monkeypatch.setattr(landing_run, "preview", _timeout)
    run(done)
    assert done == ["loaded", "told of the table", "told of contract", "settled"]
