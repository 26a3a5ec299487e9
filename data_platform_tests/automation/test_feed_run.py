"""In which order a run loads, tells Dagster, and settles. What it does to files and tables: `end_to_end/`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from data_platform.automation import feed_run
from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.automation.feed_run import run_feeds
from data_platform.automation.landing_sources import LandingConfig, RequestedDelivery, open_landing
from data_platform.extract import ingest
from data_platform.extract.ingest import Ingested
from data_platform.feeds.files import FileFeedSpec
from data_platform.warehouse.load import LoadResult
from data_platform.warehouse.table import TableRef

RULES = FileFeedSpec.of(
    {"source": "p", "table": "f", "pattern": "f", "contract": {"columns": [{"name": "id", "type": "string"}]}}
)


class Ingestion:
    """Loads nothing, and notes what it is asked to do."""

    done: list[str]

    def __init__(self, source: Any, **_: Any) -> None:
        self.source, self.feed = source, source.feed

    def run(self, **_: Any) -> Ingested:
        self.done.append("loaded")
        return Ingested(TableRef("D", "RAW_P", "F"), loads=[LoadResult()])

    def settle(self, result: Ingested) -> None:
        self.done.append("settled")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    Ingestion.done = []
    monkeypatch.setattr(ingest, "Ingestion", Ingestion)
    monkeypatch.setattr(feed_run, "preview", lambda *_, **__: "")
    monkeypatch.setattr(feed_run, "usage_metadata", dict)
    monkeypatch.setattr(feed_run, "report_if_overtaken", lambda *_, **__: None)
    monkeypatch.setattr(feed_run, "require_current", lambda *_: None)
    return Ingestion.done


def run(done: list[str]) -> None:
    """Runs it as Dagster does, which stores each event before it asks for the next."""
    log = SimpleNamespace(info=lambda _: None, warning=lambda _: None, exception=lambda _: None)
    context: Any = SimpleNamespace(
        selected_asset_keys={lake_key(RULES), raw_key(RULES)},
        selected_asset_check_keys={dg.AssetCheckKey(raw_key(RULES), "contract")},
        has_partition_key=False,
        run_id="r",
        instance=None,
        log=log,
        resources=SimpleNamespace(
            lake=SimpleNamespace(lake=lambda: None),
            landing=SimpleNamespace(bucket=lambda: None),
            warehouse=SimpleNamespace(open=lambda **_: nullcontext()),
        ),
        log_event=lambda _: done.append("told of the table"),
    )
    config = LandingConfig(deliveries=[RequestedDelivery(feed=RULES.name, key="k")])
    for event in run_feeds(context, config, [RULES], open_landing):
        done.append(f"told of {event.check_name}")


def _checks(*_: Any) -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(passed=True, check_name="contract", asset_key=raw_key(RULES))


def _timeout(*_: Any) -> Iterator[dg.AssetCheckResult]:
    raise RuntimeError("Statement reached its statement timeout")


def test_files_leave_inbound_after_dagster_was_told(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_run, "feed_check_results", _checks)
    run(done)
    assert done == ["loaded", "told of the table", "told of contract", "settled"]


def test_what_dagster_could_not_be_told_stays_in_inbound(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_run, "feed_check_results", _timeout)
    with pytest.raises(dg.Failure, match="p/f: Statement reached its statement timeout"):
        run(done)
    assert done == ["loaded"]


def test_a_preview_that_fails_keeps_nothing_from_being_told(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_run, "feed_check_results", _checks)
    monkeypatch.setattr(feed_run, "preview", _timeout)
    run(done)
    assert done == ["loaded", "told of the table", "told of contract", "settled"]
