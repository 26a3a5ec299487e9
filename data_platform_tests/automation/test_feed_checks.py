"""What a load's check `contract` looks at, and for how long bad rows keep it red."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from data_platform.automation import feed_checks
from data_platform.automation.conditions import follows_its_tables
from data_platform.automation.feed_checks import CONTRACT, feed_check_results, feed_check_specs
from data_platform.automation.feed_keys import raw_key
from data_platform.automation.table_report import report_table
from data_platform.environment import Settings
from data_platform.extract.ingest import Ingested
from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.source import DeliverySource
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform
from data_platform_tests.warehouse.feed import DATABASE, Feed

STRICTER = {
    "columns": [
        {"name": "meter_id", "type": "string", "nullable": False},
        {"name": "litres", "type": "decimal(12,3)", "nullable": False},
    ],
    "key": ["meter_id"],
}


@dataclass
class Checked:
    """A feed whose loads Dagster checks."""

    feed: Feed
    instance: dg.DagsterInstance
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def rules(self) -> FileFeedSpec:
        return self.feed.spec.model_copy(update=self.changes)

    @property
    def source(self) -> DeliverySource:
        bucket: Any = None
        return DeliverySource(self.rules, [], bucket=bucket, lake=self.feed.lake, database=DATABASE, run_id=None)

    def load(self, file_name: str, readings: Mapping[str, Any]) -> dg.AssetCheckEvaluation:
        """The evaluation of `contract` after a file was loaded."""
        delivered = self.feed.deliver(file_name, readings)
        load = self.feed.load(delivered)
        return self.check(Ingested(self.feed.table, loads=[load]))

    def check(self, result: Ingested) -> dg.AssetCheckEvaluation:
        key, source = raw_key(self.rules), self.source

        @dg.multi_asset(specs=[dg.AssetSpec(key)], check_specs=feed_check_specs(self.rules))
        def land(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield dg.MaterializeResult(asset_key=key)
            yield from feed_check_results(source, result, self.feed.connection, key, context.instance)

        done = dg.materialize([land], instance=self.instance, raise_on_error=False)
        (found,) = [each for each in done.get_asset_check_evaluations() if each.check_name == CONTRACT]
        return found


@pytest.fixture
def checked(local_cloud: Mapping[str, str]) -> Iterator[Checked]:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection, dg.DagsterInstance.ephemeral() as instance:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
        feed = Feed(Lake(open_bucket(settings, settings.lake_bucket)), connection)
        feed.prepare()
        yield Checked(feed, instance)


def rows_checked(evaluation: dg.AssetCheckEvaluation) -> Any:
    return evaluation.metadata["rows checked"].value


def test_a_load_is_checked_by_its_own_rows(checked: Checked) -> None:
    first = checked.load("a.csv", {"m1": 1, "m2": 2})
    second = checked.load("b.csv", {"m3": 3})
    assert (first.passed, rows_checked(first)) == (True, 2)
    assert (second.passed, rows_checked(second)) == (True, 1)
    nothing = checked.check(Ingested(checked.feed.table))
    assert (nothing.passed, rows_checked(nothing)) == (True, 0)


def test_a_key_that_an_earlier_load_brought_fails_and_stays_so_until_one_of_its_rows_is_gone(checked: Checked) -> None:
    checked.load("a.csv", {"m1": 1, "m2": 2})
    bad = checked.load("b.csv", {"m2": 3, "m3": 3})
    assert (bad.passed, bad.metadata["duplicate_keys"].value, rows_checked(bad)) == (False, 1, 2)
    good = checked.load("c.csv", {"m4": 4})
    assert (good.passed, good.metadata["duplicate_keys"].value, rows_checked(good)) == (False, 1, 5)
    corrected = checked.load("b.csv", {"m3": 3})
    assert (corrected.passed, rows_checked(corrected)) == (True, 4)
    assert rows_checked(checked.load("d.csv", {"m5": 5})) == 1


def violations(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    found: Any = evaluation.metadata["violations"]
    return [dict(record.data) for record in found.records]


def test_a_failed_check_shows_some_of_the_keys_and_what_is_wrong_with_each(checked: Checked) -> None:
    checked.load("a.csv", {f"m{number:02}": number for number in range(12)} | {"n": None})
    bad = checked.load("b.csv", {f"m{number:02}": number for number in range(12)})
    assert bad.metadata["duplicate_keys"].value == 12
    assert len(violations(bad)) == 10
    assert {each["what is wrong"] for each in violations(bad)} == {"2 rows have this key"}
    assert all(each["meter_id"].startswith("m") for each in violations(bad))
    checked.changes = {"contract": FileContract.model_validate(STRICTER)}
    nulls = [each for each in violations(checked.load("b.csv", {"m99": 1})) if "null" in each["what is wrong"]]
    assert nulls == [{"meter_id": "n", "what is wrong": "litres is null"}]


def test_personal_values_of_keys_are_masked(checked: Checked) -> None:
    personal = {**STRICTER["columns"][0], "personal": True}  # type: ignore[dict-item]
    checked.changes = {
        "contract": FileContract.model_validate({**STRICTER, "columns": [personal], "key": ["meter_id"]})
    }
    checked.load("a.csv", {"m1": 1})
    found = checked.load("b.csv", {"m1": 2})
    assert violations(found) == [{"meter_id": "(personal)", "what is wrong": "2 rows have this key"}]


def test_what_was_spoilt_in_the_table_is_found_by_the_audit_that_the_feed_declares(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked.load("a.csv", {"m1": 1})
    checked.feed.query(f"INSERT INTO {checked.feed.table.sql} SELECT * FROM {checked.feed.table.sql}")
    monkeypatch.setattr(feed_checks, "_AUDIT_SECONDS", 0)
    assert checked.load("b.csv", {"m2": 2}).passed
    checked.changes = {"audit": "daily"}
    monkeypatch.setattr(feed_checks, "_AUDIT_SECONDS", 60 * 60)
    assert checked.load("c.csv", {"m3": 3}).passed, "an hour has not passed since the first load checked the table"
    monkeypatch.setattr(feed_checks, "_AUDIT_SECONDS", 0)
    found = checked.load("d.csv", {"m4": 4})
    assert (found.passed, rows_checked(found)) == (False, 5)


def test_another_contract_is_held_against_the_whole_table(checked: Checked) -> None:
    checked.load("a.csv", {"m1": None})
    checked.load("b.csv", {"m2": 2})
    checked.changes = {"contract": FileContract.model_validate(STRICTER)}
    found = checked.load("c.csv", {"m3": 3})
    assert (found.passed, found.metadata["null_litres"].value) == (False, 1)


def test_the_run_that_was_asked_for_first_and_evaluates_last_counts(checked: Checked) -> None:
    checked.load("a.csv", {"m1": 1})
    late = checked.feed.deliver("b.csv", {"m1": 2})
    key = raw_key(checked.rules)

    @dg.multi_asset(specs=[dg.AssetSpec(key)], check_specs=feed_check_specs(checked.rules))
    def land(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.MaterializeResult(asset_key=key)
        assert checked.load("c.csv", {"m3": 3}).passed
        result = Ingested(checked.feed.table, loads=[checked.feed.load(late)])
        yield from feed_check_results(checked.source, result, checked.feed.connection, key, context.instance)

    dg.materialize([land], instance=checked.instance, raise_on_error=False)
    assert not checked.load("d.csv", {"m4": 4}).passed


def test_a_table_that_a_command_made_is_reported_with_its_check_so_that_no_model_waits(checked: Checked) -> None:
    checked.load("a.csv", {"m1": 1, "m2": 2})
    asset = dg.AssetSpec(raw_key(checked.rules))
    model = dg.AssetSpec("model", deps=[asset.key], automation_condition=follows_its_tables())
    checks = [dg.multi_asset_check(specs=feed_check_specs(checked.rules), name="checks")(lambda: None)]

    def asked(cursor: Any) -> tuple[int, Any]:
        definitions = dg.Definitions(assets=[asset, model], asset_checks=checks)
        found = dg.evaluate_automation_conditions(definitions, checked.instance, cursor=cursor)
        return found.get_num_requested(model.key), found.cursor

    requested, cursor = asked(None)
    assert requested == 1
    report_table(
        checked.instance, checked.rules, checked.feed.connection, DATABASE, partitions=[None], metadata={"made": "anew"}
    )
    assert asked(cursor)[0] == 1
    record = checked.instance.get_latest_materialization_event(asset.key)
    assert record is not None and record.asset_materialization is not None
    assert record.asset_materialization.metadata["dagster/row_count"].value == 2
