"""When `data-platform run` may leave out the job `daily`: decided from an instance's runs and
materializations."""

# No `from __future__ import annotations`: Dagster reads the op's.

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from data_platform.cli.run import unchanged
from data_platform.cli.run.unchanged import INPUTS_TAG, inputs, last_daily
from data_platform.environment import Settings

RAW = dg.AssetKey(["raw", "harbor_water", "meter_readings"])


@dg.op
def build() -> None: ...


@dg.op
def fail() -> None:
    raise dg.Failure


@dg.job
def daily() -> None:
    build()


@dg.job
def databases() -> None:
    build()


@dg.job
def broken() -> None:
    fail()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package and a dbt project in place of the platform's."""
    for file in ("package/engine.py", "package/defs/defs.yaml", "dbt/dbt_project.yml", "dbt/models/city.sql"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("as it was")
    monkeypatch.setattr(unchanged, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(unchanged, "DBT_PROJECT", tmp_path / "dbt")
    return tmp_path


@pytest.fixture
def instance(package: Path) -> Iterator[dg.DagsterInstance]:
    """One whose raw table was loaded, and on which `daily` has been run since."""
    with dg.DagsterInstance.ephemeral() as made:
        made.report_runless_asset_event(dg.AssetMaterialization(RAW))
        run_daily(made)
        yield made


GIVEN = Settings.from_environment({})


def run_daily(instance: dg.DagsterInstance, **tags: str) -> str:
    tags = {INPUTS_TAG: inputs(instance, GIVEN)} | tags
    return daily.execute_in_process(instance=instance, tags=tags).run_id


def succeed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    for event in (dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_SUCCESS):
        instance.report_dagster_event(dg.DagsterEvent(event.value, run.job_name), run.run_id)


def is_new(
    instance: dg.DagsterInstance, given: Settings = GIVEN, now: datetime | None = None, reading: tuple[str, ...] = ()
) -> bool:
    return last_daily(instance, given, now or datetime.now(UTC), reading=reading) is None


def test_nothing_is_new_after_a_daily_run(instance: dg.DagsterInstance) -> None:
    latest = run_daily(instance)
    record = last_daily(instance, GIVEN, datetime.now(UTC), reading=())
    assert record is not None and record.dagster_run.run_id == latest


def test_without_a_daily_run_everything_is(package: Path) -> None:
    with dg.DagsterInstance.ephemeral() as empty:
        assert is_new(empty)


def test_a_load_is(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(RAW))
    assert is_new(instance)


def test_another_table_is(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(["raw", "clear_air", "stations"])))
    assert is_new(instance)


def test_databases_that_were_not_read_today_are(instance: dg.DagsterInstance) -> None:
    assert is_new(instance, reading=("databases",))
    databases.execute_in_process(instance=instance)
    run_daily(instance)
    assert not is_new(instance, reading=("databases",))
    assert is_new(instance, now=datetime.now(UTC) + timedelta(days=1), reading=("databases",))


def test_databases_of_which_a_sources_own_schedule_read_a_part_are(instance: dg.DagsterInstance) -> None:
    databases.execute_in_process(instance=instance)
    succeed(instance, instance.add_run(dg.DagsterRun("databases", asset_selection=frozenset([RAW]))))
    run_daily(instance)
    assert is_new(instance, reading=("databases",))


def test_a_database_that_could_not_be_read_is(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(databases)
    instance.report_run_failed(run)
    run_daily(instance)
    assert is_new(instance, reading=("databases",))


@pytest.mark.parametrize(
    "file", ["package/engine.py", "package/defs/defs.yaml", "dbt/models/city.sql", "dbt/seeds/new.csv"]
)
def test_a_changed_file_is(instance: dg.DagsterInstance, package: Path, file: str) -> None:
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text("as it is now")
    assert is_new(instance)


def test_a_changed_setting_is_and_a_changed_secret_is_not(instance: dg.DagsterInstance) -> None:
    assert is_new(instance, Settings.from_environment({"SNOWFLAKE_DATABASE": "OTHER"}))
    assert not is_new(instance, Settings.from_environment({"AWS_SECRET_ACCESS_KEY": "another"}))


def test_the_next_day_is(instance: dg.DagsterInstance) -> None:
    assert is_new(instance, now=datetime.now(UTC) + timedelta(days=1))


def test_a_daily_run_that_failed_is_made_again(instance: dg.DagsterInstance) -> None:
    run_id = instance.create_run_for_job(daily, tags={INPUTS_TAG: inputs(instance, GIVEN)}).run_id
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    assert is_new(instance)


def test_any_run_that_failed_since_makes_it_new(instance: dg.DagsterInstance) -> None:
    broken.execute_in_process(instance=instance, raise_on_error=False)
    assert is_new(instance)


def test_a_daily_run_of_unknown_inputs_says_nothing(instance: dg.DagsterInstance) -> None:
    daily.execute_in_process(instance=instance)
    assert is_new(instance)


def test_a_part_of_a_daily_run_that_was_repeated_says_nothing(instance: dg.DagsterInstance) -> None:
    parent = instance.get_runs()[0].run_id
    again = instance.create_run_for_job(
        daily, tags=instance.get_runs()[0].tags, parent_run_id=parent, root_run_id=parent
    )
    succeed(instance, again)
    assert is_new(instance)
