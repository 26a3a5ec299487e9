"""Dagster resources, one per system. Only connections and credentials: the work belongs in the engine packages."""

from typing import Any

from data_platform.environment import Settings
from data_platform.resources.lake import LakeResource, LandingResource
from data_platform.resources.snowflake import WarehouseResource


def all_resources(loaded: Settings) -> dict[str, Any]:
    """{key: resource}, without `dbt`, which a dbt project's component adds. Connects to nothing."""
    return {
        "lake": LakeResource(bucket_name=loaded.lake_bucket),
        "landing": LandingResource(bucket_name=loaded.landing_bucket),
        "warehouse": WarehouseResource.of(loaded),
    }


__all__ = ["LakeResource", "LandingResource", "WarehouseResource", "all_resources"]
