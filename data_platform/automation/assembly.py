"""The platform's own sensors, schedules and jobs. The registry decides which of them exist in an environment."""

from __future__ import annotations

import dagster as dg

from data_platform.automation.arrivals import ARRIVALS
from data_platform.automation.feed_keys import assets_of
from data_platform.automation.jobs import arrivals_schedule, daily_schedule, table_schedules
from data_platform.automation.landing_sensor import landing_sensor
from data_platform.automation.metrics_sensor import metrics
from data_platform.automation.publications import publications_job
from data_platform.automation.unmatched_sensor import unmatched
from data_platform.environment import Settings
from data_platform.feeds.files import FileFeedSpec


def automation(loaded: dg.Definitions, settings: Settings) -> dg.Definitions:
    """The platform's automation, for the definitions loaded from `defs/`."""
    arrivals = [key for check in loaded.asset_checks or () for key in check.check_keys if key.name == ARRIVALS]
    schedules = [
        *table_schedules(loaded, settings),
        daily_schedule(settings, arrivals),
        arrivals_schedule(settings, arrivals),
    ]
    return dg.Definitions(
        jobs=[*{each.job.name: each.job for each in schedules}.values(), publications_job()],
        sensors=[landing_sensor(assets_of(loaded, FileFeedSpec)), unmatched, metrics, _marts_follow_raw()],
        schedules=schedules,
    )


def _marts_follow_raw() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "marts_follow_raw",
        target=dg.AssetSelection.all(include_sources=True),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the automation conditions: rebuilds models when the tables they read have new data.",
    )
