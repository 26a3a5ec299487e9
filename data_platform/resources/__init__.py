"""One resource a system: connection and credentials, nothing more."""

from pathlib import Path
from typing import Any

from data_platform.environment import Settings
from data_platform.resources.dbt import DbtCli, dbt_resource
from data_platform.resources.lake import LakeResource, LandingResource
from data_platform.resources.snowflake import WarehouseResource


def all_resources(loaded: Settings, project_root: Path) -> dict[str, Any]:
    """Every resource, by the key that assets ask for. Connects to nothing."""
    return {
        "dbt": dbt_resource(project_root / "dbt_project"),
        "lake": LakeResource(bucket_name=loaded.lake_bucket),
        "landing": LandingResource(bucket_name=loaded.landing_bucket),
        "warehouse": WarehouseResource.of(loaded),
    }


__all__ = ["DbtCli", "LakeResource", "LandingResource", "WarehouseResource", "all_resources"]
