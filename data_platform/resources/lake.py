"""The two buckets: the lake's, and the one that partners deliver to. Keys of AWS come from the settings when
a bucket is opened and never stand in a resource's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from data_platform.environment import Settings, settings
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from data_platform.lake.extracts import Lake

# The local S3 answers slowly for large objects; on AWS large parts load best.
_LOCAL_PART_BYTES = 8 * 2**20


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The bucket of extracts."""

    bucket_name: str = Field(description="The S3 bucket of extracts.")

    def lake(self) -> Lake:
        """The lake in it. Raises SettingsError in `local` when the local cloud isn't up."""
        from data_platform.lake.extracts import PART_BYTES, Lake  # pyarrow, which loading definitions doesn't need

        loaded = settings()
        part_bytes = _LOCAL_PART_BYTES if loaded.aws.endpoint_url is not None else PART_BYTES
        return Lake(open_bucket(loaded, self.bucket_name), part_bytes=part_bytes)


class LandingResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The bucket that partners deliver to."""

    bucket_name: str = Field(description="The S3 bucket that partners deliver to; it keeps versions.")

    def bucket(self) -> LandingBucket:
        """The bucket, listed through obstore, with boto3 for what names a version."""
        loaded = settings()
        return LandingBucket(open_bucket(loaded, self.bucket_name), s3_client(loaded), self.bucket_name)


def s3_client(loaded: Settings) -> S3Client:
    """A boto3 client for calls that name an object's version. Signs as `open_bucket` does."""
    import boto3
    from botocore.config import Config

    aws = loaded.require_endpoints().aws
    keys = (aws.access_key_id, aws.secret_access_key)
    return boto3.client(
        "s3",
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=keys[0].get_secret_value() if keys[0] else None,
        aws_secret_access_key=keys[1].get_secret_value() if keys[1] else None,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=32,
            s3={"addressing_style": "path"} if aws.endpoint_url else None,
        ),
    )
