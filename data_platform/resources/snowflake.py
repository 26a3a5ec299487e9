"""Snowflake, through dagster-snowflake, with the platform's own arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_snowflake import SnowflakeResource
from snowflake.connector import SnowflakeConnection

from data_platform.environment import Settings, settings
from data_platform.warehouse.connection import QUERY_TAG, connect, connection_arguments

_FIELDS = (
    "account",
    "user",
    "role",
    "warehouse",
    "database",
    "authenticator",
    "autocommit",
    "client_session_keep_alive",
    "login_timeout",
    "network_timeout",
)


class WarehouseResource(SnowflakeResource):
    """The Snowflake account that the settings name. The private key is a path or the name of a variable here,
    so that neither configuration nor UI can show it."""

    @classmethod
    def of(cls, loaded: Settings) -> WarehouseResource:
        """The resource for these settings, which `local` may lack the endpoint of until the local cloud is
        up."""
        arguments = connection_arguments(loaded)
        key = loaded.snowflake
        secrets: dict[str, Any] = {}
        if key.private_key is not None:
            secrets["private_key"] = dg.EnvVar("SNOWFLAKE_PRIVATE_KEY")
        else:
            secrets["private_key_path"] = str(key.private_key_path)
        if key.private_key_passphrase is not None:
            secrets["private_key_password"] = dg.EnvVar("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")
        return cls(
            **{name: arguments.pop(name) for name in _FIELDS},
            **secrets,
            additional_snowflake_connection_args=arguments,
        )

    def open(self, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
        """A session whose statements carry this tag. The caller closes it (`with` does)."""
        return connect(settings(), query_tag=query_tag)

    @contextmanager
    def get_connection(self, raw_conn: bool = True) -> Iterator[Any]:
        """A session as dagster-snowflake opens it. Raises SettingsError when the local cloud isn't up."""
        settings().require_endpoints()
        with super().get_connection(raw_conn=raw_conn) as connection:
            yield connection
