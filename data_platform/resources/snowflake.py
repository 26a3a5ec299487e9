"""Snowflake as a resource: the platform's own sessions, and dagster-snowflake's resource for your assets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from data_platform.environment import Settings, settings
from data_platform.warehouse.connection import QUERY_TAG, connect, connection_arguments, limit_requests, require_key

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource
    from snowflake.connector import SnowflakeConnection

_SHOWN = ("account", "user", "role", "warehouse", "database")


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The Snowflake account of the settings. The fields only inform people in Dagster's UI. `open` reads everything
    from the settings, so that neither configuration nor UI can show the key."""

    account: str = Field(description="The account identifier.")
    user: str = Field(description="The service user that signs in with a key pair.")
    role: str = Field(description="The role of the user's sessions.")
    warehouse: str = Field(description="The warehouse that runs the statements.")
    database: str = Field(description="The database of the platform's schemas.")

    @classmethod
    def of(cls, loaded: Settings) -> WarehouseResource:
        """The resource for these settings. In `local` it needs no running local cloud."""
        return cls(**{name: getattr(loaded.snowflake, name) for name in _SHOWN})

    def open(self, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
        """Opens a session whose statements have this query tag. The caller closes it (`with` does). Raises
        SettingsError in `local` if the local cloud isn't up."""
        return connect(settings(), query_tag=query_tag)

    def open_as_dbt(self, *, query_tag: str = QUERY_TAG) -> SnowflakeConnection:
        """Opens a session of dbt's user, which may read every schema that dbt builds. As `open` otherwise."""
        return connect(settings().as_dbt(), query_tag=query_tag)

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
        require_key(key)
        if key.private_key is not None:
            fields["private_key"] = key.private_key.get_secret_value()
        elif key.private_key_path is not None:
            fields["private_key_path"] = str(key.private_key_path)
        if key.private_key_passphrase is not None:
            fields["private_key_password"] = key.private_key_passphrase.get_secret_value()

        class LimitedSnowflake(SnowflakeResource):
            """Stops retrying a request that Snowflake doesn't answer, as the platform's own sessions do."""

            @contextmanager
            def get_connection(self, raw_conn: bool = True) -> Iterator[Any]:
                with super().get_connection(raw_conn) as connection:
                    limit_requests(connection)
                    yield connection

        return LimitedSnowflake(**fields, additional_snowflake_connection_args=arguments)
