"""How a dbt process is started: its command, its environment, and the folders of its artifacts.

dbt sees Snowflake's settings and nothing else of the platform's: neither the keys of AWS nor Dagster's database.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from data_platform.environment import Settings
from data_platform.environment.machine import machine_environment

KEEP_DAYS = 7
_FOR_DBT = ("SNOWFLAKE_", "DATA_PLATFORM_ENVIRONMENT", "DATA_PLATFORM_TIME_ZONE")


def dbt_command(*arguments: str) -> list[str]:
    """The dbt beside this Python, as a command. -P: the project's folder, where it works, is none of Python's."""
    return [sys.executable, "-P", "-m", "data_platform.transform.dbt", *arguments]


def run_dbt(
    *arguments: str, settings: Settings, project_dir: Path, target: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs dbt on a project to its end, without colors, and returns what it printed, whatever its exit code. Raises
    subprocess.TimeoutExpired for one that takes longer than `seconds`, and ends it."""
    return subprocess.run(
        dbt_command("--no-use-colors", *arguments),
        cwd=project_dir,
        env=dbt_environment(settings, project_dir, target),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def dbt_environment(settings: Settings, project_dir: Path, target: Path) -> dict[str, str]:
    """The whole environment of a dbt process that works in `project_dir` and writes its artifacts to `target`."""
    platform = settings.process_environment()
    return {
        **machine_environment("PYTHONPATH"),  # where this code is, if it is a checkout
        **{name: value for name, value in platform.items() if name.startswith(_FOR_DBT)},
        "DBT_PROJECT_DIR": str(project_dir),
        "DBT_PROFILES_DIR": str(project_dir),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PYTHONUNBUFFERED": "1",
        # dbt's dependencies warn about each other's versions on stderr; dbt's own warnings come by its log.
        "PYTHONWARNINGS": "ignore",
    }


def artifacts_dir(settings: Settings) -> Path:
    """Where runs keep their artifacts, a folder each, so that runs side by side don't mix."""
    return (settings.state_dir / "dbt").absolute()


def reuse_parse(folder: Path, target: Path) -> None:
    """Copies the latest run's parse for a new run. Before the first run, dagster-dbt copies the manifest's own; dbt
    reuses that only if it was made for the same connection, so not the one of an image's build."""
    parsed = sorted(folder.glob("*/partial_parse.msgpack"), key=_modified)
    if parsed:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(parsed[-1], target / parsed[-1].name)


def prune_artifacts(folder: Path, keep_days: float = KEEP_DAYS) -> None:
    """Removes the artifacts of runs that ended more than `keep_days` ago."""
    oldest = time.time() - keep_days * 86_400
    for run in folder.glob("*/"):
        if _modified(run) < oldest:
            shutil.rmtree(run, ignore_errors=True)


def _modified(path: Path) -> float:
    """Seconds since the epoch; 0 for what another run, which prunes too, has just removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
