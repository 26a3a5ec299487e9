"""What a Snowflake account needs before the platform can use it: as statements that may run any number of times, and as
differences that an account shows.

Three roles: the loader writes RAW_* and PLATFORM, the transformer writes dbt's schemas, the reader reads marts. The
service user has the loader's, which includes the transformer's. Sources: docs.snowflake.com/en/sql-reference/sql/
create-role, -user, -warehouse, -resource-monitor, -storage-integration.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.environment import Settings
from data_platform.warehouse.table import literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

_LOADER = "_LOADER"
USER_PARAMETERS = {
    # For sessions that set none, such as dbt's. Snowflake then cancels a killed run's statement and releases its locks
    # within minutes instead of two days, and an account's default time zone is America/Los_Angeles.
    "STATEMENT_TIMEOUT_IN_SECONDS": "3600",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": "1800",
    "LOCK_TIMEOUT": "3000",
    "ABORT_DETACHED_QUERY": "TRUE",
    "TIMEZONE": "UTC",
}


class BootstrapRefused(Exception):
    """The settings or options don't fit; the message says what was expected."""


@dataclass(frozen=True)
class Account:
    """What the account is to have. `public_key`: the service user's, as Snowflake takes it (base64, one line);
    `next_public_key`: the one that replaces it during a rotation. `credits`: the warehouse's limit per month."""

    user: str
    loader: str
    warehouse: str
    database: str
    integration: str
    lake_bucket: str
    aws_role_arn: str
    external_id: str
    public_key: str
    credits: int
    next_public_key: str | None = None

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> Account:
        """The account of these settings. Raises BootstrapRefused."""
        given = settings.snowflake
        if not given.role.upper().endswith(_LOADER):
            raise BootstrapRefused(
                f"SNOWFLAKE_ROLE is {given.role}: expected a name that ends with {_LOADER}, for example"
                " DATA_PLATFORM_LOADER; the transformer's and the reader's names are made of it"
            )
        if given.storage_integration is None:
            raise BootstrapRefused(
                "SNOWFLAKE_STORAGE_INTEGRATION is missing: expected a name for the integration, for example"
                " SNOWFLAKE_STORAGE_INTEGRATION=DATA_PLATFORM_LAKE"
            )
        names = (given.user, given.role, given.warehouse, given.database, given.storage_integration)
        user, loader, warehouse, database, integration = (name.upper() for name in names)
        return cls(user, loader, warehouse, database, integration, settings.lake_bucket, **options)

    @property
    def transformer(self) -> str:
        """dbt's role."""
        return self.loader.removesuffix(_LOADER) + "_TRANSFORMER"

    @property
    def reader(self) -> str:
        """The role that reads marts."""
        return self.loader.removesuffix(_LOADER) + "_READER"

    @property
    def location(self) -> str:
        """What Snowflake may read."""
        return f"s3://{self.lake_bucket}/"


def statements(wanted: Account) -> Iterator[str]:
    """The statements, in order. They create what is missing and set what may differ; they drop nothing."""
    loader, transformer, reader = (quoted(each) for each in (wanted.loader, wanted.transformer, wanted.reader))
    warehouse, database, user = quoted(wanted.warehouse), quoted(wanted.database), quoted(wanted.user)
    integration = quoted(wanted.integration)
    yield "USE ROLE SECURITYADMIN"
    for role, comment in (
        (loader, "Loads extracts; owns RAW_* and PLATFORM"),
        (transformer, "Builds dbt models from RAW_*"),
        (reader, "Reads marts"),
    ):
        yield f"CREATE ROLE IF NOT EXISTS {role} COMMENT = {literal(comment)}"
    yield f"GRANT ROLE {transformer} TO ROLE {loader}"
    yield f"GRANT ROLE {loader} TO ROLE SYSADMIN"
    yield f"GRANT ROLE {reader} TO ROLE SYSADMIN"
    yield "USE ROLE SYSADMIN"
    yield (
        f"CREATE WAREHOUSE IF NOT EXISTS {warehouse}"
        " WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE"
    )
    yield f"CREATE DATABASE IF NOT EXISTS {database}"
    for role in (transformer, reader):
        yield f"GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE {role}"
    for role in (loader, transformer):
        yield f"GRANT USAGE, CREATE SCHEMA ON DATABASE {database} TO ROLE {role}"
    yield f"GRANT USAGE ON DATABASE {database} TO ROLE {reader}"
    yield "USE ROLE SECURITYADMIN"
    yield f"GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {database} TO ROLE {reader}"
    yield "USE ROLE USERADMIN"
    yield (f"CREATE USER IF NOT EXISTS {user} TYPE = SERVICE DEFAULT_ROLE = {loader} DEFAULT_WAREHOUSE = {warehouse}")
    yield f"ALTER USER {user} SET RSA_PUBLIC_KEY = {literal(wanted.public_key)}"
    if wanted.next_public_key:
        yield f"ALTER USER {user} SET RSA_PUBLIC_KEY_2 = {literal(wanted.next_public_key)}"
    else:
        yield f"ALTER USER {user} UNSET RSA_PUBLIC_KEY_2"
    parameters = " ".join(f"{name} = {_value(value)}" for name, value in USER_PARAMETERS.items())
    yield f"ALTER USER {user} SET {parameters}"
    yield "USE ROLE SECURITYADMIN"
    yield f"GRANT ROLE {loader} TO USER {user}"
    yield "USE ROLE ACCOUNTADMIN"
    yield (
        f"CREATE RESOURCE MONITOR IF NOT EXISTS {warehouse} WITH CREDIT_QUOTA = {wanted.credits} FREQUENCY = MONTHLY"
        " START_TIMESTAMP = IMMEDIATELY TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND"
    )
    yield f"ALTER RESOURCE MONITOR {warehouse} SET CREDIT_QUOTA = {wanted.credits}"
    yield f"ALTER WAREHOUSE {warehouse} SET RESOURCE_MONITOR = {warehouse}"
    aws = f"STORAGE_AWS_ROLE_ARN = {literal(wanted.aws_role_arn)}"
    locations = f"STORAGE_ALLOWED_LOCATIONS = ({literal(wanted.location)})"
    yield (
        f"CREATE STORAGE INTEGRATION IF NOT EXISTS {integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3'"
        f" ENABLED = TRUE {aws} STORAGE_AWS_EXTERNAL_ID = {literal(wanted.external_id)} {locations}"
    )
    yield f"ALTER STORAGE INTEGRATION {integration} SET ENABLED = TRUE {aws} {locations}"
    yield f"GRANT USAGE ON INTEGRATION {integration} TO ROLE {loader}"


def trust(cursor: DictCursor, wanted: Account) -> tuple[str, str]:
    """The AWS user that Snowflake assumes the role as, and the external id that it presents."""
    found = _described(cursor, f"DESC INTEGRATION {quoted(wanted.integration)}", "property_value")
    return found["STORAGE_AWS_IAM_USER_ARN"], found["STORAGE_AWS_EXTERNAL_ID"]


def drift(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    """Each difference between the account and `wanted`, in words. Reads only. Raises the connector's errors, also for
    a user, role or integration that doesn't exist."""
    yield from _user_drift(cursor, wanted)
    yield from _grant_drift(cursor, wanted)
    cursor.execute(f"SHOW WAREHOUSES LIKE {literal(wanted.warehouse)}")
    rows = cursor.fetchall()
    monitor = str(rows[0]["resource_monitor"]) if rows else "no warehouse"
    if monitor != wanted.warehouse:
        yield f"warehouse {wanted.warehouse} has the resource monitor {monitor}: expected {wanted.warehouse}"
    found = _described(cursor, f"DESC INTEGRATION {quoted(wanted.integration)}", "property_value")
    expected = {
        "ENABLED": "true",
        "STORAGE_AWS_ROLE_ARN": wanted.aws_role_arn,
        "STORAGE_AWS_EXTERNAL_ID": wanted.external_id,
        "STORAGE_ALLOWED_LOCATIONS": wanted.location,
    }
    yield from _differences(f"integration {wanted.integration}", found, expected)


def _user_drift(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    user = quoted(wanted.user)
    keys = {"RSA_PUBLIC_KEY_FP": fingerprint(wanted.public_key)}
    keys["RSA_PUBLIC_KEY_2_FP"] = fingerprint(wanted.next_public_key) if wanted.next_public_key else "null"
    found = _described(cursor, f"DESC USER {user}", "value")
    yield from _differences(f"user {wanted.user}", found, {**keys, "DEFAULT_ROLE": wanted.loader})
    cursor.execute(f"SHOW PARAMETERS FOR USER {user}")
    parameters = {str(row["key"]): str(row["value"]) for row in cursor.fetchall()}
    yield from _differences(f"user {wanted.user}", parameters, USER_PARAMETERS)


def _grant_drift(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    for role, expected in {
        wanted.loader: {
            ("USAGE", wanted.transformer),
            ("USAGE", wanted.integration),
            ("CREATE SCHEMA", wanted.database),
        },
        wanted.transformer: {("USAGE", wanted.warehouse), ("CREATE SCHEMA", wanted.database)},
        wanted.reader: {("USAGE", wanted.warehouse), ("USAGE", wanted.database)},
    }.items():
        cursor.execute(f"SHOW GRANTS TO ROLE {quoted(role)}")
        granted = {(str(row["privilege"]), str(row["name"]).strip('"')) for row in cursor.fetchall()}
        for privilege, name in sorted(expected - granted):
            yield f"role {role} lacks {privilege} on {name}"


def _differences(of: str, found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    for name, value in expected.items():
        if found.get(name, "null").upper() != value.upper():
            yield f"{of}: {name} is {found.get(name, 'null')}, expected {value}"


def _described(cursor: DictCursor, statement: str, column: str) -> dict[str, str]:
    cursor.execute(statement)
    return {str(row["property"]).upper(): str(row[column]) for row in cursor.fetchall()}


def _value(value: str) -> str:
    return value if value.isdecimal() or value in ("TRUE", "FALSE") else literal(value)


def fingerprint(public_key: str) -> str:
    """A public key's fingerprint, as DESC USER shows it."""
    digest = hashlib.sha256(base64.b64decode(public_key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode()}"


def public_key_of(pem: bytes) -> str:
    """A key's public half as Snowflake takes it: base64 in one line. `pem`: a public or an unencrypted private key.
    Raises BootstrapRefused."""
    from cryptography.hazmat.primitives import serialization as formats

    try:
        if b"PRIVATE" in pem:
            key: Any = formats.load_pem_private_key(pem, None).public_key()
        else:
            key = formats.load_pem_public_key(pem)
        der: bytes = key.public_bytes(formats.Encoding.DER, formats.PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError):
        raise BootstrapRefused("expected a PEM public key, for example of `openssl rsa -in key.p8 -pubout`") from None
    return base64.b64encode(der).decode()
