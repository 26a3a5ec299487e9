"""The demo lies in folders of its own: a team deletes them, and the platform works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = (
    *("data_platform/defs/demo", "data_platform/local_cloud/demo"),
    *(f"data_platform/defs/sources/partners/{name}" for name in ("harbor_water", "clear_air", "meridian_parking")),
)
LOAD = """
from data_platform.definitions import defs
repository = defs().get_repository_def()
print(sorted({key.path[0] for key in repository.assets_defs_by_key}))
print(sorted(sensor.name for sensor in repository.sensor_defs))
"""


@pytest.fixture(scope="module")
def without_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without the demo's folders."""
    root = tmp_path_factory.mktemp("team")
    ignored = shutil.ignore_patterns("__pycache__", "logs")
    for name in ("data_platform", "dbt_project"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    for folder in DEMO:
        shutil.rmtree(root / folder)
    return root


def python(root: Path, code: str) -> str:
    """What Python prints, with the packages of `root` and none of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=root, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_definitions_load(without_demo: Path) -> None:
    assets, sensors = python(without_demo, LOAD).splitlines()[-2:]
    assert "lake" not in assets and "operations" not in assets
    assert sensors == "['landing', 'marts_follow_raw']"


def test_it_passes_check(without_demo: Path) -> None:
    assert "defs.yaml are right" in python(without_demo, "from data_platform.cli import main; main(['check'])")


def test_running_the_demo_says_that_there_is_none(without_demo: Path) -> None:
    run = "from data_platform.cli import main; main(['run', '--demo'], standalone_mode=False)"
    with pytest.raises(AssertionError, match="This project has no demo"):
        python(without_demo, run)
