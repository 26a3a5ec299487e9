"""The two buckets as resources: the lake's, and the one to which partners deliver. They read AWS keys from the settings
when they open a bucket; a resource's configuration never contains them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from data_platform.environment import settings
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.client import open_landing_bucket

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake

# The local S3 is slow with large objects. On AWS, Snowflake loads large files fastest.
_LOCAL_PART_BYTES = 8 * 2**20


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake's bucket, which holds the extracts."""

    bucket_name: str = Field(description="The S3 bucket of extracts.")

    def lake(self) -> Lake:
        """The lake in the bucket. Raises SettingsError in `local` if the local cloud isn't up."""
        from data_platform.lake.extracts import PART_BYTES, Lake  # pyarrow, which loading definitions doesn't need

        loaded = settings()
        part_bytes = _LOCAL_PART_BYTES if loaded.aws.endpoint_url is not None else PART_BYTES
        return Lake(open_bucket(loaded, self.bucket_name), part_bytes=part_bytes)


class LandingResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The landing bucket, to which partners deliver."""

    bucket_name: str = Field(description="The S3 bucket that partners deliver to; it keeps versions.")

    def bucket(self) -> LandingBucket:
        """The landing bucket. Raises SettingsError in `local` if the local cloud isn't up."""
        return open_landing_bucket(settings(), self.bucket_name)
