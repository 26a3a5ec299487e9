"""Opens the bucket that partners deliver to, with the settings' credentials. `bucket` reads and writes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from data_platform.environment import Settings
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def open_landing_bucket(loaded: Settings, name: str) -> LandingBucket:
    """The bucket, listed through obstore, with boto3 for requests that name a version."""
    return LandingBucket(open_bucket(loaded, name), partial(s3_client, loaded), name)


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
