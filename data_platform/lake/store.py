"""Opens a bucket as an object store. Keys and contents are the callers' choice."""

from __future__ import annotations

import copyreg
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import ClientConfig, RetryConfig, S3Config

from data_platform.environment import Settings

# A request that doesn't connect within seconds is better sent again; the total bounds one 16 MB chunk.
_TIMEOUTS: ClientConfig = {"connect_timeout": "5s", "timeout": "120s"}
# Longer than one request, or one that gets no answer would use up the time and not be sent again. With it, below five
# minutes in total, as obstore signs a request once and repeats it as it is.
_RETRIES: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=150)}


def open_bucket(settings: Settings, bucket: str) -> S3Store:
    """The bucket of that name, as an obstore store. Connects to nothing until it is used.

    With an endpoint (the local cloud) requests are path-style and may be plain HTTP. Without keys the default
    AWS chain signs: the task role on ECS, a profile or SSO session on a laptop. Raises SettingsError in
    `local` when the local cloud isn't up.
    """
    aws = settings.require_endpoints().aws
    config: S3Config = {"region": aws.region}
    client: ClientConfig = dict(_TIMEOUTS)  # type: ignore[assignment]
    if aws.endpoint_url is not None:
        config |= {"endpoint": aws.endpoint_url, "virtual_hosted_style_request": False}
        client["allow_http"] = aws.endpoint_url.startswith("http://")
    if aws.access_key_id is not None and aws.secret_access_key is not None:
        config |= {
            "access_key_id": aws.access_key_id.get_secret_value(),
            "secret_access_key": aws.secret_access_key.get_secret_value(),
        }
        return S3Store(bucket, config=config, client_options=client, retry_config=_RETRIES)
    provider = _task_role()
    copyreg.pickle(type(provider), lambda _: (_task_role, ()))  # a worker process signs with keys that it asks for
    return S3Store(bucket, config=config, client_options=client, retry_config=_RETRIES, credential_provider=provider)


def _task_role() -> Boto3CredentialProvider:
    from obstore.auth.boto3 import Boto3CredentialProvider  # boto3 costs 0.3 s to import

    # botocore renews a task role's keys 10 to 15 minutes before they end, so asking it again every 5 minutes
    # never signs with keys that have ended; the provider's own default of 30 minutes could.
    return Boto3CredentialProvider(ttl=timedelta(minutes=5))
