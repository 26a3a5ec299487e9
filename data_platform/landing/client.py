"""Opens the bucket that partners deliver to, and AWS's services, with the settings' credentials."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from data_platform.environment import Settings
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_transfer import TransferClient


def open_landing_bucket(loaded: Settings, name: str) -> LandingBucket:
    """The bucket, listed through obstore, with boto3 for requests that name a version."""
    return LandingBucket(open_bucket(loaded, name), partial(s3_client, loaded), name)


def s3_client(loaded: Settings) -> S3Client:
    """A boto3 client for calls that name an object's version. Signs as `open_bucket` does."""
    addressed = {"addressing_style": "path"} if loaded.require_endpoints().aws.endpoint_url else None
    client: S3Client = aws_client(loaded, "s3", s3=addressed)
    return client


def transfer_client(loaded: Settings) -> TransferClient:
    """A boto3 client for AWS Transfer, whose users partners are."""
    client: TransferClient = aws_client(loaded, "transfer")
    return client


def aws_client(loaded: Settings, service: str, **further: Any) -> Any:
    """A boto3 client of a service. `further`: botocore's configuration."""
    import boto3
    from botocore.config import Config

    aws = loaded.require_endpoints().aws
    keys = (aws.access_key_id, aws.secret_access_key)
    make: Any = boto3.client
    return make(
        service,
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=keys[0].get_secret_value() if keys[0] else None,
        aws_secret_access_key=keys[1].get_secret_value() if keys[1] else None,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=32,
            **further,
        ),
    )
