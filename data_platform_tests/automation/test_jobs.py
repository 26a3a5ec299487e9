"""What the platform's own schedules request."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from data_platform.automation.arrivals import ARRIVALS
from data_platform.automation.jobs import arrivals_schedule, table_schedules
from data_platform.automation.registry import ENVIRONMENTS, OWN, keep_registered
from data_platform.components.sql_tables import SqlTables
from data_platform.environment import settings
from data_platform.feeds.databases import DatabaseDeclaration

CHECK = dg.AssetCheckKey(dg.AssetKey(["raw", "p", "f"]), ARRIVALS)


@pytest.mark.parametrize("checks", [[CHECK], []])
def test_arrivals_are_checked_every_hour_where_a_feed_expects_files(checks: list[dg.AssetCheckKey]) -> None:
    schedule = arrivals_schedule(settings(), checks)
    found = schedule.evaluate_tick(dg.build_schedule_context())
    assert len(found.run_requests or []) == len(checks)
    assert bool(found.skip_message) == (not checks)
    assert str(schedule.cron_schedule).split()[1:] == ["*"] * 4


def test_arrivals_are_checked_in_every_environment() -> None:
    assert OWN["arrivals"] == ENVIRONMENTS


def tables(**schedules: str | None) -> dg.Definitions:
    """Databases with a table each, and their schedules."""
    text = (
        "{{description: d, time_zone: UTC, owners: ['team:x'], connection: c, schedule: {schedule},"
        " tables: [{{table: t, description: d, contract: {{columns: [{{name: id, type: string}}]}}}}]}}"
    )
    made = []
    for name, schedule in schedules.items():
        attributes = yaml.safe_load(text.format(schedule=f"'{schedule}'" if schedule else "null"))
        component = SqlTables(DatabaseDeclaration.model_validate(attributes))
        made.append(component.build_defs(SimpleNamespace(path=Path("defs/sources/databases") / name)))  # type: ignore[arg-type]
    return dg.Definitions.merge(*made)


def requested(schedule: dg.ScheduleDefinition) -> list[str] | None:
    """The assets that a tick's run reads; None: all of the job's."""
    (request,) = schedule.evaluate_tick(dg.build_schedule_context()).run_requests or ()
    return request.asset_selection and sorted(key.to_user_string() for key in request.asset_selection)


def test_a_source_with_a_schedule_of_its_own_is_read_then_and_the_others_as_ever() -> None:
    loaded = tables(city=None, courts="0 */2 * * 1-5", land=None)
    found = {each.name: each for each in table_schedules(loaded, settings())}
    assert set(found) == {"databases", "databases__courts", "web_apis", "geocoding"}
    assert {each.job_name for name, each in found.items() if name.startswith("databases")} == {"databases"}
    assert found["databases__courts"].cron_schedule == "0 */2 * * 1-5"
    assert found["databases__courts"].execution_timezone == settings().time_zone
    assert requested(found["databases__courts"]) == ["lake/courts/t", "raw/courts/t"]
    assert requested(found["databases"]) == ["lake/city/t", "lake/land/t", "raw/city/t", "raw/land/t"]
    kept = keep_registered(dg.Definitions(schedules=list(found.values())), OWN, "dev", complete=False)
    assert list(kept.schedules or ()) == [], "a source's schedule exists where that of its kind does"
    kept = keep_registered(dg.Definitions(schedules=list(found.values())), OWN, "prod", complete=False)
    assert {each.name for each in kept.schedules or ()} == set(found)


def test_without_schedules_of_their_own_all_are_read_at_once() -> None:
    schedule, *_ = table_schedules(tables(city=None, land=None), settings())
    assert (schedule.cron_schedule, requested(schedule)) == ("30 5 * * *", None)


def test_where_each_source_has_its_own_schedule_that_of_all_skips() -> None:
    schedule, *_ = table_schedules(tables(city="0 4 * * *"), settings())
    assert schedule.evaluate_tick(dg.build_schedule_context()).skip_message


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("5 a.m.", "expected five fields: minute, hour, day of the month, month, day of the week"),
        ("@daily", "expected five fields"),
        ("60 5 * * *", "the minute is '60'; expected .*from 0 to 59"),
        ("0 5-2 * * *", "the hour is '5-2'"),
        ("0 5 * * mon", "the day of the week is 'mon'"),
        ("*/0 5 * * *", "the minute is"),
    ],
)
def test_a_schedule_that_is_no_cron_is_refused(cron: str, said: str) -> None:
    with pytest.raises(ValidationError, match=rf"schedule\n.*{said}"):
        tables(city=cron)
