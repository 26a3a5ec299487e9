"""What the platform's own schedules request."""

from __future__ import annotations

import dagster as dg
import pytest

from data_platform.automation.arrivals import ARRIVALS
from data_platform.automation.jobs import arrivals_schedule
from data_platform.automation.registry import ENVIRONMENTS, OWN
from data_platform.environment import settings

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
