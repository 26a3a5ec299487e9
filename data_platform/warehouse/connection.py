"""Signs in to Snowflake: the connection arguments and time limits of every session, also of Dagster's resource."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_platform.environment import Settings, SettingsError
from data_platform.environment.snowflake import SnowflakeSettings, SnowflakeUser

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from snowflake.connector import SnowflakeConnection

QUERY_TAG = "data_platform"
STATEMENT_SECONDS = 3600
"""Snowflake cancels a statement after this time, which includes waiting for locks and for the warehouse."""
REQUEST_SECONDS = 120
"""The connector retries a failed request for this long. A long statement isn't a failed request: Snowflake reports
every 45 s that it is in progress."""

SESSION_PARAMETERS: dict[str, Any] = {
    # Parquet's timestamps are instants; casts to TIMESTAMP_TZ give them the session's offset.
    "TIMEZONE": "UTC",
    "QUERY_TAG": QUERY_TAG,
    # Snowflake cancels a killed loader's statement 5 minutes after its connection ended, and rolls back the idle
    # transaction when another transaction has waited 5 minutes for its locks
    # (docs.snowflake.com/en/sql-reference/transactions#aborting-transactions).
    "ABORT_DETACHED_QUERY": True,
    # With the default of two days, a hung statement would block others for as long.
    "STATEMENT_TIMEOUT_IN_SECONDS": STATEMENT_SECONDS,
    # Loads of one feed wait for each other. Shorter than the statement's limit, so that the error names the lock.
    "LOCK_TIMEOUT": 3000,
}
# The connector's own limit. It is later than Snowflake's, so that the error names Snowflake's limit.
_CANCEL_SECONDS = STATEMENT_SECONDS + 60


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """The arguments of `snowflake.connector.connect`, except the private key. Statements commit at once unless BEGIN
    opens a transaction. Sign-in times out after 60 s, and a statement after an hour. A request times out as late as a
    statement, unless you call `limit_requests`."""
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
        # Otherwise a process's first sign-in asks the metadata addresses of AWS, Azure and Google where it runs.
        "platform_detection_timeout_seconds": 0.0,
        "login_timeout": 60,
        "network_timeout": _CANCEL_SECONDS,  # also the time after which `execute` cancels a statement
        "session_parameters": dict(SESSION_PARAMETERS),
    }
    if snowflake_settings.host is not None:
        arguments["host"] = snowflake_settings.host
    if snowflake_settings.port is not None:
        arguments["port"] = snowflake_settings.port
    return arguments


def connect(settings: Settings, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
    """Opens a session, which the caller closes. Raises SettingsError in `local` if the local cloud isn't up, and the
    connector's errors."""
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    import snowflake.connector

    from data_platform.warehouse.arrow_once import read_one_arrow_result

    arguments = connection_arguments(settings.require_endpoints())
    read_one_arrow_result()
    arguments["session_parameters"]["QUERY_TAG"] = query_tag
    connection = snowflake.connector.connect(**arguments, private_key=_private_key(settings.snowflake))
    limit_requests(connection)
    return connection


def connect_as(settings: Settings, user: str, private_key: Path) -> SnowflakeConnection:
    """Opens a session of another user, such as an administrator, with the user's default role, and no database. The
    caller closes it. Raises the connector's errors."""
    import snowflake.connector

    arguments = connection_arguments(settings.require_endpoints())
    for name in ("role", "warehouse", "database"):
        del arguments[name]
    arguments |= {"user": user, "private_key": _parsed(private_key.read_bytes(), None)}
    return snowflake.connector.connect(**arguments)


def require_key(user: SnowflakeUser) -> None:
    """Raises SettingsError if the user has no private key. Containers that never sign in have none."""
    if user.private_key is None and user.private_key_path is None:
        raise _no_key(user)


def limit_requests(connection: SnowflakeConnection) -> None:
    """Makes an open session stop retrying a request after REQUEST_SECONDS.

    The connector (seen in 4.8.0) has a single limit (`network_timeout`, or `execute`'s timeout) for cancelling a
    statement and for retrying its requests. Every request goes through `fetch`, so that is limited here.
    """
    rest: Any = connection.rest
    fetch = rest.fetch

    def fetch_in_time(*arguments: Any, timeout: float | None = None, **options: Any) -> Any:
        limit = REQUEST_SECONDS if timeout is None else min(timeout, REQUEST_SECONDS)
        return fetch(*arguments, timeout=limit, **options)

    rest.fetch = fetch_in_time


def _no_key(user: SnowflakeUser) -> SettingsError:
    key = user.variable("private_key")
    return SettingsError(
        f"{key} or {key}_PATH is missing: expected a PEM private key (PKCS #8) of Snowflake's user {user.user}, for"
        f" example {key}_PATH=/run/key.p8"
    )


def _private_key(settings: SnowflakeSettings) -> PrivateKeyTypes:
    """The key from the settings, or from the file that they name. Reads the file each time, to notice a rotated key.
    Raises SettingsError."""
    if settings.private_key is not None:
        pem = settings.private_key.get_secret_value().strip().encode()
    elif settings.private_key_path is not None:
        pem = settings.private_key_path.read_bytes()
    else:
        raise _no_key(settings)
    passphrase = settings.private_key_passphrase
    return _parsed(pem, None if passphrase is None else passphrase.get_secret_value().encode())


@lru_cache(maxsize=2)
def _parsed(pem: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    """The parsed key. Parsing checks the key's primes, which takes 50 ms of CPU, and the connector would do it for each
    session if it got bytes."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, passphrase)
