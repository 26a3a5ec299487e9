"""Which sensors, schedules and publications exist in which environment. An unlisted one stops the code location from
loading.

The platform's own are listed below. A team lists its own in an `automation.yaml` anywhere in `defs/`, beside the
component that defines the sensor, schedule or publication. So nobody edits product code to add one, and deleting a
component's folder deletes its entries.

    # defs/sources/crm/automation.yaml
    crm_sync: [local, prod]

    # defs/publish/carto/parks/automation.yaml
    publication/carto/parks: [prod]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import yaml

from data_platform.automation.jobs import TABLE_JOBS
from data_platform.automation.publications import is_publication, knowing_their_checks, publication_key
from data_platform.environment import EnvironmentName
from data_platform.publish.spec import Dataset, declared_datasets

FILE = "automation.yaml"
ENVIRONMENTS: frozenset[EnvironmentName] = frozenset(get_args(EnvironmentName))

OWN: Mapping[str, frozenset[EnvironmentName]] = {
    "landing": ENVIRONMENTS,
    "unmatched": ENVIRONMENTS,
    "marts_follow_raw": ENVIRONMENTS,
    "arrivals": ENVIRONMENTS,
    "metrics": frozenset(("dev", "prod")),  # CloudWatch reads them
    "databases": frozenset(("local", "prod")),
    "web_apis": frozenset(("local", "prod")),
    "geocoding": frozenset(("local", "prod")),
    "daily": frozenset(("local", "prod")),
}


class RegistryError(Exception):
    """The registry and what exists differ; the message names the entry to add or remove, and where."""


def published_here(defs: Path, environment: EnvironmentName) -> list[Dataset]:
    """The publications that the folder declares and the registry lists for this environment, by id. Raises
    RegistryError and DefinitionInvalid."""
    registry = read_registry(defs)
    found = declared_datasets(defs)
    return [each for each in found if environment in registry.get(publication_key(each).to_user_string(), ())]


def read_registry(defs: Path) -> dict[str, frozenset[EnvironmentName]]:
    """The platform's entries, and those of every `automation.yaml` below the defs folder. Raises RegistryError."""
    found = dict(OWN)
    for folder, _, files in os.walk(defs):
        if FILE not in files:
            continue
        path = Path(folder) / FILE
        for name, environments in _entries(path).items():
            if name in found:
                raise RegistryError(f"{path}: {name!r} is listed a second time; each has one entry")
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


def _publication(asset: Any) -> str | None:
    """The name of a publication's asset in the registry; None for any other."""
    return asset.key.to_user_string() if is_publication(asset) else None


def _entry(name: str) -> str:
    """The name in the registry: a source's own schedule, `databases__<source>`, exists where `databases` does."""
    job, apart, _ = name.partition("__")
    return job if apart and job in TABLE_JOBS else name


def keep_registered(
    definitions: dg.Definitions,
    registry: Mapping[str, frozenset[EnvironmentName]],
    environment: EnvironmentName,
    *,
    complete: bool = True,
) -> dg.Definitions:
    """The definitions with the sensors, schedules and publications that the registry lists for this environment, and no
    others; each publication knows its mart's checks. `complete`: no definition was left out, so every entry must have
    what it names. Raises RegistryError."""
    sensors, schedules = list(definitions.sensors or ()), list(definitions.schedules or ())
    assets = [(asset, _publication(asset)) for asset in definitions.assets or ()]
    names = {each.name for each in (*sensors, *schedules)} | {name for _, name in assets if name is not None}
    if unlisted := sorted(name for name in names if _entry(name) not in registry):
        entries = "\n".join(f"  {name}: [local]" for name in unlisted)
        raise RegistryError(
            f"No {FILE} lists these sensors, schedules or publications: {', '.join(unlisted)}. They could act in any"
            f" environment, production included, so nothing loads until you say where they may exist. Add to a {FILE}"
            f" beside their component, with the environments of each ({', '.join(get_args(EnvironmentName))}):\n"
            f"{entries}"
        )
    if complete and (gone := sorted(registry.keys() - names)):
        raise RegistryError(
            f"The registry lists sensors, schedules or publications that don't exist: {', '.join(gone)}. Correct the"
            f" name, or remove the entry from its {FILE} (the platform's own are in automation/registry.py)."
        )
    here = {name for name in names if environment in registry[_entry(name)]}
    kept = [asset for asset, name in assets if name is None or name in here]
    return dg.Definitions(
        assets=knowing_their_checks(kept, definitions.asset_checks or ()),
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
