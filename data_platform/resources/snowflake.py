"""Snowflake as a resource: the platform's own sessions, and dagster-snowflake's resource for your assets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from data_platform.environment import Settings, settings
from data_platform.warehouse.connection import QUERY_TAG, connect, connection_arguments, limit_requests

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource
    from snowflake.connector import SnowflakeConnection

_SHOWN = ("account", "user", "role", "warehouse", "database")


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The Snowflake account that the settings name. The fields are for people who look in Dagster's UI; the key and the
    rest come from the settings when a session opens, so that neither configuration nor UI can show them."""

    account: str = Field(description="The account identifier.")
    user: str = Field(description="The service user that signs in, by key pair.")
    role: str = Field(description="The role of its sessions.")
    warehouse: str = Field(description="The warehouse that runs its statements.")
    database: str = Field(description="The database of the platform's schemas.")

    @classmethod
    def of(cls, loaded: Settings) -> WarehouseResource:
        """The resource for these settings. In `local` they need not know the endpoint yet."""
        return cls(**{name: getattr(loaded.snowflake, name) for name in _SHOWN})

    def open(self, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
        """A session whose statements have this tag. The caller closes it (`with` does). Raises SettingsError in `local`
        when the local cloud isn't up."""
        return connect(settings(), query_tag=query_tag)

    def dagster_snowflake(self) -> SnowflakeResource:
        """dagster-snowflake's resource for the same account, role and key: for assets of your own that use Snowpark,
        `snowflake.core`, or code written for that resource. Raises SettingsError as `open` does.

        Importing dagster-snowflake takes seconds, so call this in an asset's body and never while definitions load.
        """
        loaded = settings().require_endpoints()
        from dagster_snowflake import SnowflakeResource

        from data_platform.warehouse.arrow_once import read_one_arrow_result

        read_one_arrow_result()
        arguments = connection_arguments(loaded)
        fields: dict[str, Any] = {name: arguments.pop(name) for name in (*_SHOWN, "authenticator")}
        key = loaded.snowflake
        if key.private_key is not None:
            fields["private_key"] = key.private_key.get_secret_value()
        else:
            fields["private_key_path"] = str(key.private_key_path)
        if key.private_key_passphrase is not None:
            fields["private_key_password"] = key.private_key_passphrase.get_secret_value()

        class LimitedSnowflake(SnowflakeResource):
            """Gives up a request that Snowflake doesn't answer, as the platform's own sessions do."""

            @contextmanager
            def get_connection(self, raw_conn: bool = True) -> Iterator[Any]:
                with super().get_connection(raw_conn) as connection:
                    limit_requests(connection)
                    yield connection

        return LimitedSnowflake(**fields, additional_snowflake_connection_args=arguments)
