"""The composition root: loads `defs/`, and adds resources, sensors and jobs. No other module combines definitions."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from data_platform.automation.assembly import automation
from data_platform.automation.loaded_from import LoadedFrom
from data_platform.automation.registry import keep_registered, read_registry
from data_platform.components.loading import load_components
from data_platform.environment import settings
from data_platform.resources import all_resources
from data_platform.runs.executor import run_executor

PACKAGE = Path(__file__).parent


@dg.definitions
def defs() -> dg.Definitions:
    """The whole code location, for the environment that the settings name."""
    return compose(PACKAGE)


def compose(package: Path) -> dg.Definitions:
    """The definitions of a package's `defs/`, with resources, sensors and jobs. The registry filters the merged whole,
    so it also holds sensors and schedules that components or Python in `defs/` bring."""
    environment = settings().environment
    as_read = LoadedFrom.now(package / "defs")
    loaded = load_components(package, tolerant=environment != "local")
    merged = dg.Definitions.merge(
        loaded.definitions,
        automation(loaded.definitions, settings()),
        dg.Definitions(
            resources=all_resources(settings()), executor=run_executor(settings()), metadata=as_read.metadata()
        ),
    )
    return keep_registered(merged, read_registry(package / "defs"), environment, complete=loaded.complete)
