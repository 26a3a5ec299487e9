"""Snowflake, through dagster-snowflake, with the platform's own arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from data_platform.environment import Settings, settings
from data_platform.warehouse.connection import QUERY_TAG, connect, connection_arguments, limit_requests

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_SIGN_IN = ("account", "user", "role", "warehouse", "database", "authenticator")


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The Snowflake account that the settings name. The private key is a path or the name of a variable here,
    so that neither configuration nor UI can show it.

    The fields are those of dagster-snowflake's resource, which `get_connection` opens. It isn't subclassed, as
    importing it takes seconds, in every process that loads the definitions.
    """

    account: str = Field(description="The account identifier.")
    user: str = Field(description="The service user that signs in.")
    role: str = Field(description="The role of its sessions.")
    warehouse: str = Field(description="The warehouse that statements run in.")
    database: str = Field(description="The database of the platform's schemas.")
    authenticator: str = Field(description="How it signs in: by key pair.")
    private_key: str | None = Field(None, description="The private key, by the name of its variable.")
    private_key_path: str | None = Field(None, description="The private key's file.")
    private_key_password: str | None = Field(None, description="The key's passphrase, by the name of its variable.")
    additional_snowflake_connection_args: dict[str, Any] = Field({}, description="The connector's other arguments.")

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
            **{name: arguments.pop(name) for name in _SIGN_IN},
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
        from dagster_snowflake import SnowflakeResource

        from data_platform.warehouse.arrow_once import read_one_arrow_result

        read_one_arrow_result()
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        with SnowflakeResource(**fields).get_connection(raw_conn=raw_conn) as connection:
            limit_requests(connection)
            yield connection
