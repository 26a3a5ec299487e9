"""A publication's asset: the gates are a check of it, and what they refuse isn't published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from data_platform.automation import publications
from data_platform.automation.publications import (
    GATES,
    knowing_their_checks,
    publication_definitions,
    publication_key,
)
from data_platform.publish import publish as publishing
from data_platform.publish.publish import Result
from data_platform.publish.target import GateFailed, Stamp
from data_platform_tests.publish.conftest import trees

MART = dg.AssetKey(["marts", "trees"])
STAMP = Stamp("ab", "abcd", 110, "2026-03-07T06:00:00+00:00", "marts/trees", "q-1", "run")


def refuse(*_: object, **__: object) -> Result:
    raise GateFailed("carto/trees: 3 rows have shapes that are not valid; correct them in the model")


class Somewhere:
    """Stands for the resources and the target: only `publish` uses them."""

    url = "https://carto.example/trees"

    def lake(self) -> Somewhere:
        return self

    @contextmanager
    def open(self, **_: object) -> Iterator[Somewhere]:
        yield self


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dg.ExecuteInProcessResult]:
    """Builds the mart, whose check passes or not, and then its publication in a run of its own."""

    @contextmanager
    def anywhere(*_: object) -> Iterator[Somewhere]:
        yield Somewhere()

    monkeypatch.setattr(publications, "open_target", anywhere)

    def once(publish: Callable[..., Result], *, mart_passes: bool = True) -> dg.ExecuteInProcessResult:
        monkeypatch.setattr(publishing, "publish", publish)

        @dg.asset(key=MART, check_specs=[dg.AssetCheckSpec("unique", asset=MART, blocking=True)])
        def mart() -> Iterator[Any]:
            yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="unique", passed=mart_passes)])

        (publication,) = publication_definitions(trees()).assets or ()
        defs = dg.Definitions(
            assets=knowing_their_checks([mart, publication], ()),
            resources={"lake": Somewhere(), "warehouse": Somewhere()},
        )
        job, instance = defs.resolve_implicit_global_asset_job_def(), dg.DagsterInstance.ephemeral()
        for key in (MART, publication_key(trees())):
            ended = job.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False)
        return ended

    return once


def gates(ended: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluated,) = ended.get_asset_check_evaluations()
    assert (evaluated.check_name, evaluated.asset_key) == (GATES, publication_key(trees()))
    return evaluated


def test_a_published_version_passed_its_gates(run: Callable[..., dg.ExecuteInProcessResult]) -> None:
    ended = run(lambda *_, **__: Result("published", STAMP, 100, None))
    assert ended.success and gates(ended).passed
    shown = {name: value.value for name, value in gates(ended).metadata.items()}
    assert shown == {"rows before": 100, "change in percent": 10.0}


def test_the_map_of_a_dataset_is_in_its_materialization(run: Callable[..., dg.ExecuteInProcessResult]) -> None:
    ended = run(lambda *_, **__: Result("unchanged", STAMP, 110, "<svg/>"))
    (made,) = ended.get_asset_materialization_events()
    metadata = made.materialization.metadata
    assert str(metadata["map"].value).startswith("![map](data:image/svg+xml;base64,")
    assert metadata["rows"].value == 110 and "change in percent" not in metadata


def test_what_a_gate_refuses_fails_the_check_and_the_run(run: Callable[..., dg.ExecuteInProcessResult]) -> None:
    ended = run(refuse)
    assert not ended.success and not gates(ended).passed
    assert "3 rows have shapes that are not valid" in str(gates(ended).description)
    assert ended.get_asset_materialization_events() == []


def test_a_mart_whose_blocking_check_failed_is_not_read(run: Callable[..., dg.ExecuteInProcessResult]) -> None:
    asked: list[object] = []
    ended = run(lambda *given, **_: asked.append(given), mart_passes=False)
    assert not ended.success and not asked
    assert "marts/trees: its check unique has failed, so nothing is published" in str(gates(ended).description)
