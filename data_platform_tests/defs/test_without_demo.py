"""The demo lies in folders of its own: a team deletes them, and the platform works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = (
    *("data_platform/defs/demo", "data_platform/local_cloud/demo"),
    *(f"data_platform/defs/sources/partners/{name}" for name in ("harbor_water", "clear_air", "meridian_parking")),
    "data_platform/defs/sources/databases/city_records",
    "data_platform/defs/sources/airtable/community_programmes",
    "data_platform/defs/sources/knack/community_grants",
    "data_platform/defs/sources/geocoders/address_search",
    "data_platform/defs/publish",
    *(f"dbt_project/{name}" for name in ("models", "snapshots", "tests")),
)
LOAD = """
from data_platform.cli import main
from data_platform.definitions import defs
repository = defs().get_repository_def()
print(sorted({key.path[0] for key in repository.assets_defs_by_key}))
print(sorted(sensor.name for sensor in repository.sensor_defs))
for command in (["check"], ["run", "--demo"]):
    try:
        main(command, standalone_mode=False)
    except Exception as error:
        print(error)
"""


def test_a_team_without_the_demo_loads_checks_and_is_told_that_there_is_none(tmp_path: Path) -> None:
    for name in ("data_platform", "dbt_project"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "logs"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in DEMO:
        shutil.rmtree(tmp_path / folder)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assets, sensors, checked, demo = done.stdout.splitlines()[-4:]
    assert "lake" not in assets and "operations" in assets
    assert sensors == "['landing', 'marts_follow_raw', 'unmatched']"
    assert "defs.yaml files are valid" in checked
    assert "This project has no demo" in demo
