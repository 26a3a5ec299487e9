"""One resource per system: its connection and credentials, nothing more."""

from typing import Any

from data_platform.environment import Settings
from data_platform.resources.lake import LakeResource, LandingResource
from data_platform.resources.snowflake import WarehouseResource


def all_resources(loaded: Settings) -> dict[str, Any]:
    """Every resource by its key, except `dbt`, which comes with a project's models. Connects to nothing."""
    return {
        "lake": LakeResource(bucket_name=loaded.lake_bucket),
        "landing": LandingResource(bucket_name=loaded.landing_bucket),
        "warehouse": WarehouseResource.of(loaded),
    }


__all__ = ["LakeResource", "LandingResource", "WarehouseResource", "all_resources"]
