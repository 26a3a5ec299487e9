"""The composition root: loads `defs/`, adds resources, sensors and jobs. Nothing is put together anywhere else."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from data_platform.automation.assembly import automation
from data_platform.components.loading import load_components
from data_platform.environment import settings
from data_platform.resources import all_resources
from data_platform.runs.executor import run_executor

PACKAGE = Path(__file__).parent


@dg.definitions
def defs() -> dg.Definitions:
    """Everything of this code location, for the environment that the settings name."""
    return compose(PACKAGE)


def compose(package: Path) -> dg.Definitions:
    """What a package's `defs/` declares, with resources, sensors and jobs."""
    loaded = load_components(package, tolerant=settings().environment != "local")
    return dg.Definitions.merge(
        loaded,
        automation(loaded, settings()),
        dg.Definitions(resources=all_resources(settings()), executor=run_executor(settings())),
    )
