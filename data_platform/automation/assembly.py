"""Puts the sensors, schedules and jobs together for an environment, as the registry says."""

from __future__ import annotations

import dagster as dg

from data_platform.automation.arrivals import ARRIVALS
from data_platform.automation.jobs import daily_schedule
from data_platform.automation.landing_sensor import landing
from data_platform.automation.mart_sensor import city_daily_digest, city_daily_digest_sensor
from data_platform.automation.registry import active
from data_platform.environment import Settings


def automation(loaded: dg.Definitions, settings: Settings) -> dg.Definitions:
    """The automation of what was loaded. Raises RegistryError."""
    arrivals = [key for check in loaded.asset_checks or () for key in check.check_keys if key.name == ARRIVALS]
    daily = daily_schedule(settings, arrivals)
    sensors = {sensor.name: sensor for sensor in (landing, _marts_follow_raw(), city_daily_digest_sensor)}
    schedules = {daily.name: daily}
    here = active([*sensors, *schedules], settings.environment)
    return dg.Definitions(
        assets=[city_daily_digest],
        jobs=[daily.job],
        sensors=[sensor for name, sensor in sensors.items() if name in here],
        schedules=[schedule for name, schedule in schedules.items() if name in here],
    )


def _marts_follow_raw() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "marts_follow_raw",
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the automation conditions: models follow the tables they read.",
    )
