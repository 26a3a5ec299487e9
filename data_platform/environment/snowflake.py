"""Snowflake's settings: the account, and three users with a role and a key pair each. None may do another's work: the
loader writes RAW_* and PLATFORM, dbt reads RAW_* and writes its models, the reader reads marts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from data_platform.environment.base import Endpoint, Group, InLocal, Port, prefix


def _pem(key: SecretStr | None) -> SecretStr | None:
    """The key, if it is PEM: dbt takes nothing else. The error shows none of it."""
    if key is not None and not re.match(r"\s*-----BEGIN (ENCRYPTED )?PRIVATE KEY-----\n", key.get_secret_value()):
        raise ValueError("it doesn't begin with -----BEGIN PRIVATE KEY----- and a line break")
    return key


PrivateKey = Annotated[SecretStr | None, AfterValidator(_pem)]
KEY_IN_LOCAL = InLocal(".local/keys/snowflake.p8")
"""The local Snowflake takes one key for all users."""


class SnowflakeUser(Group):
    """A user that signs in by key pair, and the role of its sessions."""

    user: str = Field(description="a service user")
    role: str = Field(description="the role to use")
    private_key: PrivateKey = Field(None, description="a PEM private key (PKCS #8), with its BEGIN and END lines")
    private_key_path: Annotated[Path | None, KEY_IN_LOCAL] = Field(
        None, description="a PEM file", examples=[".local/keys/snowflake.p8"]
    )
    private_key_passphrase: SecretStr | None = Field(None, description="the private key's passphrase")

    @classmethod
    def variable(cls, field: str) -> str:
        """The variable of a field."""
        return str(cls.model_fields[field].alias)


class SnowflakeSettings(SnowflakeUser, alias_generator=prefix("SNOWFLAKE_")):
    """The account, and the loader, which is the platform's own user. Host, port and protocol are for `local`."""

    account: Annotated[str, InLocal("local")] = Field(description="an account identifier", examples=["myorg-team"])
    user: Annotated[str, InLocal("DATA_PLATFORM")] = Field(description="a service user", examples=["DATA_PLATFORM"])
    role: Annotated[str, InLocal("DATA_PLATFORM_LOADER")] = Field(
        description="the role to use", examples=["DATA_PLATFORM_LOADER"]
    )
    warehouse: Annotated[str, InLocal("DATA_PLATFORM")] = Field(description="a warehouse", examples=["DATA_PLATFORM"])
    database: Annotated[str, InLocal("DATA_PLATFORM")] = Field(description="a database", examples=["DATA_PLATFORM"])
    storage_integration: str | None = Field(
        None,
        description="the storage integration by which Snowflake reads the lake's bucket",
        examples=["DATA_PLATFORM_LAKE"],
    )
    host: Annotated[str | None, Endpoint()] = Field(None, description="a host name", examples=["127.0.0.1"])
    port: Port | None = Field(None, description="a port", examples=["443"])
    protocol: Literal["https", "http"] = Field("https", description="https (or http, in `local`)", examples=["https"])


class DbtUser(SnowflakeUser, alias_generator=prefix("SNOWFLAKE_DBT_")):
    """dbt's user. dbt's process gets these values as SNOWFLAKE_USER and so on, and no other user's key."""

    user: str = Field("DATA_PLATFORM_DBT", description="dbt's user", examples=["DATA_PLATFORM_DBT"])
    role: str = Field("DATA_PLATFORM_TRANSFORMER", description="dbt's role", examples=["DATA_PLATFORM_TRANSFORMER"])


class ReaderUser(SnowflakeUser, alias_generator=prefix("SNOWFLAKE_READER_")):
    """A user that reads marts, for reports. The platform signs in as this user only to prove what it may read."""

    user: str = Field(
        "DATA_PLATFORM_REPORTS", description="a user that reads marts", examples=["DATA_PLATFORM_REPORTS"]
    )
    role: str = Field(
        "DATA_PLATFORM_READER", description="the role that reads marts", examples=["DATA_PLATFORM_READER"]
    )
