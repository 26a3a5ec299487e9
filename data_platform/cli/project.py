"""Where the project stands on disk, and the local cloud that its commands start when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import data_platform
from data_platform.environment import Settings, SettingsError, settings

if TYPE_CHECKING:
    from data_platform.landing.bucket import LandingBucket

PACKAGE = Path(data_platform.__file__).parent
ROOT = PACKAGE.parent
DEFS = PACKAGE / "defs"
DBT_PROJECT = ROOT / "dbt_project"
DEMO = PACKAGE / "local_cloud" / "demo" / "day.py"
"""The demo's entry point. A team that has deleted the demo runs without it."""
WORKSPACE = ROOT / "workspace.yaml"


def bring_up(report: Callable[[str], None]) -> Settings:
    """Settings with which everything can be reached, also by libraries that read the environment. In `local` this
    starts the local cloud where it is not up. Raises SettingsError, and what starting the local cloud raises."""
    wanted = settings()
    if wanted.environment == "local":
        from data_platform.local_cloud.commands import declared_cloud

        declared_cloud(None).up(report)
        settings.cache_clear()  # the ports are known now
        wanted = settings()
    wanted.require_endpoints()
    if wanted.dagster_home is None:
        raise SettingsError(
            "DAGSTER_HOME is missing: expected the folder of this deployment's dagster.yaml, which says where runs"
            " are kept, for example DAGSTER_HOME=/opt/dagster"
        )
    return wanted.adopt()


def landing_bucket(wanted: Settings) -> LandingBucket:
    """The bucket that partners deliver to."""
    from data_platform.resources.lake import LandingResource

    return LandingResource(bucket_name=wanted.landing_bucket).bucket()
