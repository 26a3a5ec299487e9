"""Models follow a table whatever the order in which runs side by side load it and check it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from data_platform.automation.check_results import latest_results, report_if_overtaken
from data_platform.automation.conditions import follows_its_tables

TABLE = dg.AssetKey(["raw", "p", "f"])
MODEL = dg.AssetKey(["marts", "m"])
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
Step = Callable[[], object]


def nothing() -> None:
    """What happens meanwhile, unless a test says something else."""


@dataclass
class Table:
    """A table that runs of several days load, and a model that follows it."""

    instance: dg.DagsterInstance

    def load(
        self,
        day: str,
        *,
        passes: bool = True,
        rows: bool = True,
        amid: Step = lambda: None,
        between: Step = lambda: None,
    ) -> None:
        """A day's run. `amid` happens after it was requested and before it loads; `between` after it has evaluated its
        check, and before Dagster knows of it."""

        @dg.multi_asset(
            specs=[dg.AssetSpec(TABLE, partitions_def=DAYS)],
            check_specs=[dg.AssetCheckSpec("contract", asset=TABLE, blocking=True)],
            can_subset=True,
        )
        def land(context: dg.AssetExecutionContext) -> Iterator[Any]:
            amid()
            began = time.time()
            if rows:
                yield dg.MaterializeResult(asset_key=TABLE)
            result = dg.AssetCheckResult(passed=passes, check_name="contract", asset_key=TABLE)
            between()
            yield result
            report_if_overtaken(context.instance, result, context.run_id, materialized=rows, since=began)

        dg.materialize([land], instance=self.instance, partition_key=day, raise_on_error=False)

    def model_follows(self) -> bool:
        """Whether a model that has never been built is requested now."""
        asset = dg.AssetSpec(TABLE, partitions_def=DAYS)
        check = dg.multi_asset_check(specs=[dg.AssetCheckSpec("contract", asset=TABLE, blocking=True)], name="checks")
        definitions = dg.Definitions(
            assets=[asset, dg.AssetSpec(MODEL, deps=[TABLE], automation_condition=follows_its_tables())],
            asset_checks=[check(lambda: None)],
        )
        return dg.evaluate_automation_conditions(definitions, self.instance).get_num_requested(MODEL) == 1


@pytest.fixture
def table() -> Iterator[Table]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Table(instance)


def apart(step: Step) -> Step:
    """The same in a thread of its own, as runs have nothing to do with each other."""

    def run() -> None:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()

    return run


@pytest.mark.parametrize("when", ["amid", "between"])
def test_runs_side_by_side_hold_no_model_back_whichever_ends_last(table: Table, when: str) -> None:
    table.load("2026-01-01", **{when: apart(lambda: table.load("2026-01-02"))})
    assert table.model_follows()


def test_a_run_that_loads_nothing_holds_no_model_back(table: Table) -> None:
    table.load("2026-01-01")
    table.load("2026-01-02")
    table.load("2026-01-01", rows=False)
    assert table.model_follows()


@pytest.mark.parametrize("rows", [True, False])
def test_a_failure_side_by_side_holds_models_back_whichever_run_ends_last(table: Table, rows: bool) -> None:
    table.load("2026-01-01", between=apart(lambda: table.load("2026-01-02", passes=False)), rows=rows)
    assert not table.model_follows()
    table.load("2026-01-03")
    assert table.model_follows()


def test_a_run_alone_has_one_result(table: Table) -> None:
    table.load("2026-01-01")
    assert len(latest_results(table.instance, dg.AssetCheckKey(TABLE, "contract"))) == 1
    assert table.model_follows()
