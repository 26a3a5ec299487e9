"""Which sensors and schedules exist in which environment. An unlisted one stops the code location from loading.

The platform's own are listed below. A team lists its own in an `automation.yaml` anywhere in `defs/`, beside the
component that defines the sensor or schedule. So nobody edits product code to add one, and deleting a component's
folder deletes its entries.

    # defs/sources/crm/automation.yaml
    crm_sync: [local, prod]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import dagster as dg
import yaml

from data_platform.environment import EnvironmentName

FILE = "automation.yaml"
ENVIRONMENTS: frozenset[EnvironmentName] = frozenset(get_args(EnvironmentName))

OWN: Mapping[str, frozenset[EnvironmentName]] = {
    "landing": ENVIRONMENTS,
    "unmatched": ENVIRONMENTS,
    "marts_follow_raw": ENVIRONMENTS,
    "arrivals": ENVIRONMENTS,
    "databases": frozenset(("local", "prod")),
    "web_apis": frozenset(("local", "prod")),
    "geocoding": frozenset(("local", "prod")),
    "daily": frozenset(("local", "prod")),
}


class RegistryError(Exception):
    """The registry and the sensors and schedules differ; the message names the entry to add or remove, and where."""


def read_registry(defs: Path) -> dict[str, frozenset[EnvironmentName]]:
    """The platform's entries, and those of every `automation.yaml` below the defs folder. Raises RegistryError."""
    found = dict(OWN)
    for folder, _, files in os.walk(defs):
        if FILE not in files:
            continue
        path = Path(folder) / FILE
        for name, environments in _entries(path).items():
            if name in found:
                raise RegistryError(f"{path}: {name!r} is listed a second time; a sensor or schedule has one entry")
            found[name] = environments
    return found


def _entries(path: Path) -> dict[str, frozenset[EnvironmentName]]:
    example = "expected entries like `crm_sync: [local, prod]`"
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RegistryError(f"{path}: not YAML: {error}; {example}") from None
    if not isinstance(entries, dict):
        raise RegistryError(f"{path}: {example}")
    for name, environments in entries.items():
        if not isinstance(environments, list) or not environments or set(environments) - ENVIRONMENTS:
            there = ", ".join(get_args(EnvironmentName))
            raise RegistryError(f"{path}: {name}: {environments!r}; {example}, with environments of: {there}")
    return {str(name): frozenset(environments) for name, environments in entries.items()}


def keep_registered(
    definitions: dg.Definitions,
    registry: Mapping[str, frozenset[EnvironmentName]],
    environment: EnvironmentName,
    *,
    complete: bool = True,
) -> dg.Definitions:
    """The definitions with the sensors and schedules that the registry lists for this environment, and no others.
    `complete`: no definition was left out, so every entry must have its sensor or schedule. Raises RegistryError."""
    sensors, schedules = list(definitions.sensors or ()), list(definitions.schedules or ())
    names = {each.name for each in (*sensors, *schedules)}
    if unlisted := sorted(names - registry.keys()):
        entries = "\n".join(f"  {name}: [local]" for name in unlisted)
        raise RegistryError(
            f"No {FILE} lists these sensors or schedules: {', '.join(unlisted)}. They could start runs in any"
            f" environment, production included, so nothing loads until you say where they may exist. Add to a {FILE}"
            f" beside their component, with the environments of each ({', '.join(get_args(EnvironmentName))}):\n"
            f"{entries}"
        )
    if complete and (gone := sorted(registry.keys() - names)):
        raise RegistryError(
            f"The registry lists sensors or schedules that don't exist: {', '.join(gone)}. Correct the name, or remove"
            f" the entry from its {FILE} (the platform's own are in automation/registry.py)."
        )
    here = {name for name in names if environment in registry[name]}
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        sensors=[sensor for sensor in sensors if sensor.name in here],
        schedules=[schedule for schedule in schedules if schedule.name in here],
        resources=definitions.resources,
        executor=definitions.executor,
        loggers=definitions.loggers,
        metadata=definitions.metadata,
        component_tree=definitions.component_tree,
    )
