"""Starts dbt processes: their command, environment, and the folders of their artifacts.

dbt gets the settings for Snowflake, with its own user and key, and no other secrets: neither the loader's key, nor AWS
keys, nor the password of Dagster's database.
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
AHEAD = "--ahead"
"""The argument of a dbt process that gets its command later: see `transform.ahead`."""
_FOR_DBT = ("SNOWFLAKE_", "DATA_PLATFORM_ENVIRONMENT", "DATA_PLATFORM_TIME_ZONE")
_OF_OTHERS = ("SNOWFLAKE_DBT_", "SNOWFLAKE_READER_")
"""dbt's own values are the plain SNOWFLAKE_ variables of its process, so that any project's profile works."""


def dbt_command(*arguments: str) -> list[str]:
    """The command for dbt in this Python's environment. -P keeps Python from importing modules from the project's
    folder, where dbt works."""
    return [sys.executable, "-P", "-m", "data_platform.transform.dbt", *arguments]


def run_dbt(
    *arguments: str, settings: Settings, project_dir: Path, target: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs dbt on a project, without colors, and returns its output, whatever its exit code. After `seconds`, kills it
    and raises subprocess.TimeoutExpired."""
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
    """The complete environment of a dbt process that works in `project_dir` and writes its artifacts to `target`."""
    platform = settings.as_dbt().process_environment()
    return {
        **machine_environment("PYTHONPATH"),  # where this code is, if it is a checkout
        **{name: value for name, value in platform.items() if _is_for_dbt(name)},
        "DBT_PROJECT_DIR": str(project_dir),
        "DBT_PROFILES_DIR": str(project_dir),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PYTHONUNBUFFERED": "1",
        # dbt's dependencies warn about each other's versions on stderr; dbt's own warnings are in its log.
        "PYTHONWARNINGS": "ignore",
    }


def _is_for_dbt(variable: str) -> bool:
    return variable.startswith(_FOR_DBT) and not variable.startswith(_OF_OTHERS)


def artifacts_dir(settings: Settings) -> Path:
    """The folder of dbt's artifacts. Each dbt process gets its own folder in it, so that parallel runs don't mix."""
    return (settings.state_dir / "dbt").absolute()


def reuse_parse(folder: Path, target: Path, project_dir: Path) -> None:
    """Copies the latest parse for a new run: another run's below `folder`, or the one beside the manifest. dbt reuses a
    parse only for the same connection, so it can't reuse that of an image's build."""
    parsed = [*folder.glob("*/partial_parse.msgpack"), *project_dir.glob("target/partial_parse.msgpack")]
    parsed.sort(key=_modified)
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
    """Seconds since the epoch; 0 if another run has just pruned the path."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
