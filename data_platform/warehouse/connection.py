"""Signing in to Snowflake: one place that says with which arguments. Dagster's resource uses it too."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from data_platform.environment import Settings
from data_platform.environment.groups import SnowflakeSettings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

QUERY_TAG = "data_platform"
STATEMENT_SECONDS = 3600
"""How long a statement may take, waiting for a lock or a warehouse included. Snowflake ends it then."""
REQUEST_SECONDS = 120
"""How long a request is sent again that gets no good answer. A statement that takes long gets good ones: each 45 s
Snowflake says that it is in progress."""

SESSION_PARAMETERS: dict[str, Any] = {
    # Parquet's timestamps are instants; casts to TIMESTAMP_TZ give them the session's offset.
    "TIMEZONE": "UTC",
    "QUERY_TAG": QUERY_TAG,
    # A killed loader's statement ends 5 minutes after its connection, and its transaction, once idle, when
    # another has waited 5 minutes (docs.snowflake.com/en/sql-reference/transactions#aborting-transactions).
    "ABORT_DETACHED_QUERY": True,
    # The default of two days would hide a hung statement, which others wait for.
    "STATEMENT_TIMEOUT_IN_SECONDS": STATEMENT_SECONDS,
    # Loads of one feed wait for each other. Less than a statement has, so that one that waited in vain fails as that.
    "LOCK_TIMEOUT": 3000,
}
# The connector cancels statements itself. Later than Snowflake, whose error then tells of its own limit.
_CANCEL_SECONDS = STATEMENT_SECONDS + 60


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """What `snowflake.connector.connect` takes, but for the private key. Statements commit at once unless
    BEGIN says otherwise; signing in is given up after 60 s, a statement cancelled after an hour. A request is given
    up sooner only after `limit_requests`."""
    snowflake_settings = settings.snowflake
    arguments: dict[str, Any] = {
        "account": snowflake_settings.account,
        "user": snowflake_settings.user,
        "role": snowflake_settings.role,
        "warehouse": snowflake_settings.warehouse,
        "database": snowflake_settings.database,
        "authenticator": "SNOWFLAKE_JWT",
        "protocol": snowflake_settings.protocol,
        "autocommit": True,
        "client_session_keep_alive": False,
        "login_timeout": 60,
        "network_timeout": _CANCEL_SECONDS,  # not only the network's: a cursor's `execute` cancels by it
        "session_parameters": dict(SESSION_PARAMETERS),
    }
    if snowflake_settings.host is not None:
        arguments["host"] = snowflake_settings.host
    if snowflake_settings.port is not None:
        arguments["port"] = snowflake_settings.port
    return arguments


def connect(settings: Settings, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
    """A session, which the caller closes. Raises SettingsError in `local` when the local cloud isn't up, and
    the connector's errors."""
    # The connector takes almost a second to import, which every process that loads definitions would pay.
    import snowflake.connector

    from data_platform.warehouse.arrow_once import read_one_arrow_result

    arguments = connection_arguments(settings.require_endpoints())
    read_one_arrow_result()
    arguments["session_parameters"]["QUERY_TAG"] = query_tag
    connection = snowflake.connector.connect(**arguments, private_key=_private_key(settings.snowflake))
    limit_requests(connection)
    return connection


def limit_requests(connection: SnowflakeConnection) -> None:
    """Has an open session give up a request that has got no good answer for REQUEST_SECONDS.

    The connector (seen in 4.8.0) has one limit for two things, `network_timeout` or what `execute` is told: after it
    a statement is cancelled, and for so long a request of it is sent again. Every request goes through `fetch`.
    """
    rest: Any = connection.rest
    fetch = rest.fetch

    def fetch_in_time(*arguments: Any, timeout: float | None = None, **options: Any) -> Any:
        limit = REQUEST_SECONDS if timeout is None else min(timeout, REQUEST_SECONDS)
        return fetch(*arguments, timeout=limit, **options)

    rest.fetch = fetch_in_time


def _private_key(settings: SnowflakeSettings) -> bytes:
    """The key as the connector takes it: PKCS #8, DER, unencrypted."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    if settings.private_key is not None:
        text = settings.private_key.get_secret_value().strip()
        pem = text.encode() if text.startswith("-----") else base64.b64decode(text)
    elif settings.private_key_path is not None:
        pem = settings.private_key_path.read_bytes()
    else:
        raise ValueError("no private key: set SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PRIVATE_KEY_PATH")
    passphrase = settings.private_key_passphrase
    key = load_pem_private_key(pem, None if passphrase is None else passphrase.get_secret_value().encode())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
