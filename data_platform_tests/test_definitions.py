"""Everything that the code location defines, held against `definitions.snapshot.json`.

After a change that means to change it: `python -m data_platform_tests.test_definitions`, and look at the diff.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.json")
UPDATE = "python -m data_platform_tests.test_definitions"
ROOT = Path(__file__).parents[1]


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """All definitions as plain data, in order."""
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    return {
        "assets": {key.to_user_string(): _asset(specs[key], graph.get(key)) for key in sorted(specs)},
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: {
                "job": schedule.job_name,
                "cron": schedule.cron_schedule,
                "time zone": schedule.execution_timezone,
                "status": schedule.default_status.value,
                "described": bool(schedule.description),
            }
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: {
                "type": sensor.sensor_type.value,
                "seconds": sensor.minimum_interval_seconds,
                "status": sensor.default_status.value,
                "described": bool(sensor.description),
                "assets": _targets(repository, sensor.name),
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
        "resources": sorted(definitions.resources or {}),
    }


def _targets(repository: dg.RepositoryDefinition, sensor: str) -> list[str]:
    """The assets that a sensor's runs may select; Dagster makes a job of them, or keeps the selection as it is."""
    defined = repository.get_sensor_def(sensor)
    if defined.asset_selection is not None and not isinstance(defined, dg.AutomationConditionSensorDefinition):
        return sorted(key.to_user_string() for key in defined.asset_selection.resolve(repository.asset_graph))
    jobs = [job for job in repository.get_all_jobs() if job.name == f"__anonymous_asset_job_{sensor}"]
    return sorted(key.to_user_string() for job in jobs for key in job.asset_layer.executable_asset_keys)


def _asset(spec: dg.AssetSpec, node: Any) -> dict[str, Any]:
    partitions = spec.partitions_def
    return {
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "owners": sorted(spec.owners),
        "tags": {name: value for name, value in sorted(spec.tags.items()) if not name.startswith("dagster/")},
        "partitions": None if partitions is None else str(partitions),
        "checks": sorted(key.name for key in node.check_keys),
        "automation": spec.automation_condition.get_label() if spec.automation_condition else None,
        "described": bool(spec.description),
        "links to code": len(_references(spec)),
        "columns": len(spec.metadata["dagster/column_schema"].columns)
        if "dagster/column_schema" in spec.metadata
        else None,
    }


def _references(spec: dg.AssetSpec) -> list[Any]:
    found: Any = spec.metadata.get("dagster/code_references")
    return list(found.code_references) if found else []


STEPS = ("import data_platform.components", "import data_platform.definitions", "data_platform.definitions.defs()")
SLOW = {"boto3", "cryptography", "dagster_dbt", "dagster_snowflake", "dbt", "pandas", "pyarrow", "snowflake.connector"}


def _loaded() -> tuple[list[set[str]], str]:
    """The slow packages imported by the end of each step, and the definitions of `local`. In a process without the
    caller's settings."""
    script = "import dagster, json, sys\n" + "\n".join(f"{step}; print(*sys.modules)" for step in STEPS)
    script += (
        "\nfrom data_platform_tests.test_definitions import described"
        "\nprint(json.dumps(described(data_platform.definitions.defs()), indent=1))"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    *imported, text = done.stdout.split("\n", len(STEPS))
    return [SLOW & set(modules.split()) for modules in imported], text


@pytest.fixture(scope="module")
def loaded() -> tuple[list[set[str]], str]:
    return _loaded()


@pytest.fixture
def found(loaded: tuple[list[set[str]], str]) -> str:
    return loaded[1]


def test_loading_definitions_imports_only_what_defines_them(loaded: tuple[list[set[str]], str]) -> None:
    """Every run's process pays for it. dagster-dbt defines the models' assets, and imports dbt."""
    assert loaded[0] == [set(), set(), {"dagster_dbt", "dbt"}]


def test_definitions_are_as_the_snapshot_says(found: str) -> None:
    kept = SNAPSHOT.read_text(encoding="utf-8")
    changes = "\n".join(difflib.unified_diff(kept.splitlines(), found.splitlines(), "snapshot", "now", lineterm=""))
    assert not changes, f"{changes}\n\nIf that is meant: {UPDATE}"


def test_every_asset_is_described_owned_grouped_and_of_a_kind(found: str) -> None:
    for key, asset in json.loads(found)["assets"].items():
        assert asset["described"], f"{key} has no description"
        assert asset["group"] not in (None, "default"), f"{key} has no group"
        assert asset["kinds"], f"{key} has no kind"
        assert asset["owners"], f"{key} has no owner"


def test_each_sensor_and_schedule_is_described(found: str) -> None:
    there = json.loads(found)
    for name, each in {**there["sensors"], **there["schedules"]}.items():
        assert each["described"], f"{name} has no description"


def test_feeds_and_models_link_to_the_file_that_declares_them_alone(found: str) -> None:
    for key, asset in json.loads(found)["assets"].items():
        if not key.startswith(("inbound/", "source/", "operations/")):
            assert asset["links to code"] == 1, key


if __name__ == "__main__":
    SNAPSHOT.write_text(_loaded()[1], encoding="utf-8")
    print(f"written: {SNAPSHOT}")
