"""What a Snowflake account needs before the platform can use it, as statements that may run any number of times.
`account_drift` compares an account with it; `user_keys` gives the users their keys.

Three users with a role each. The loader writes RAW_* and PLATFORM, and reads marts to publish them. dbt's role, the
transformer, reads RAW_* and owns the schemas that dbt builds. The reader reads marts. Sources:
docs.snowflake.com/en/sql-reference/sql/create-role, -user, -warehouse, -resource-monitor, -storage-integration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.environment import Settings
from data_platform.warehouse.platform import stage
from data_platform.warehouse.table import PLATFORM, literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

MARTS = "MARTS"
"""The schema of the models that others may read."""
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
    """What the account is to have. `users`: {user: its role}. `credits`: the warehouse's limit per month."""

    users: dict[str, str]
    loader: str
    transformer: str
    reader: str
    warehouse: str
    database: str
    integration: str
    lake_bucket: str
    aws_role_arn: str
    credits: int

    @classmethod
    def of(cls, settings: Settings, *, aws_role_arn: str, credits: int) -> Account:
        """The account of these settings. Raises BootstrapRefused."""
        given = settings.snowflake
        if given.storage_integration is None:
            raise BootstrapRefused(
                "SNOWFLAKE_STORAGE_INTEGRATION is missing: expected a name for the integration, for example"
                " SNOWFLAKE_STORAGE_INTEGRATION=DATA_PLATFORM_LAKE"
            )
        users = {
            each.user.upper(): each.role.upper() for each in (given, settings.snowflake_dbt, settings.snowflake_reader)
        }
        if len(users) < 3 or len(set(users.values())) < 3:
            raise BootstrapRefused(
                f"the loader, dbt and the reader are {', '.join(users)} with {', '.join(users.values())}: expected"
                " three users with three roles in SNOWFLAKE_USER and _ROLE, SNOWFLAKE_DBT_USER and _ROLE,"
                " SNOWFLAKE_READER_USER and _ROLE"
            )
        loader, transformer, reader = users.values()
        warehouse, database, integration = (
            name.upper() for name in (given.warehouse, given.database, given.storage_integration)
        )
        return cls(
            users=users,
            loader=loader,
            transformer=transformer,
            reader=reader,
            warehouse=warehouse,
            database=database,
            integration=integration,
            lake_bucket=settings.lake_bucket,
            aws_role_arn=aws_role_arn,
            credits=credits,
        )

    @property
    def location(self) -> str:
        """What Snowflake may read."""
        return f"s3://{self.lake_bucket}/"


def statements(wanted: Account, raw_schemas: Sequence[str] = ()) -> Iterator[str]:
    """The statements, in order. They create what is missing and set what may differ; they drop and revoke nothing.
    `raw_schemas`: the schemas of raw tables that are there already (`existing_raw_schemas`)."""
    loader, transformer, reader = (quoted(each) for each in (wanted.loader, wanted.transformer, wanted.reader))
    yield "USE ROLE SECURITYADMIN"
    for role, comment in (
        (loader, "Loads extracts; owns RAW_* and PLATFORM"),
        (transformer, "Reads RAW_*; owns what dbt builds"),
        (reader, "Reads marts"),
    ):
        yield f"CREATE ROLE IF NOT EXISTS {role} COMMENT = {literal(comment)}"
        yield f"GRANT ROLE {role} TO ROLE SYSADMIN"
    yield f"GRANT ROLE {reader} TO ROLE {loader}"
    yield from _warehouse_and_database(wanted, (loader, transformer, reader))
    yield from _schemas(wanted, loader, transformer, reader, raw_schemas)
    yield from _users(wanted)
    yield from _limit(wanted)
    yield from _integration(wanted, loader)


def existing_raw_schemas(cursor: DictCursor, wanted: Account) -> list[str]:
    """The schemas of raw tables, if the database exists."""
    if not shown(cursor, f"SHOW DATABASES LIKE {literal(wanted.database)}", wanted.database):
        return []
    cursor.execute(f"SHOW SCHEMAS IN DATABASE {quoted(wanted.database)}")
    return [str(row["name"]) for row in cursor.fetchall() if str(row["name"]).startswith("RAW_")]


def integration_identity(cursor: DictCursor, wanted: Account) -> tuple[str, str]:
    """The AWS user that Snowflake assumes the role as, and the external id that it presents."""
    found = described(cursor, f"DESC INTEGRATION {quoted(wanted.integration)}", "property_value")
    return found["STORAGE_AWS_IAM_USER_ARN"], found["STORAGE_AWS_EXTERNAL_ID"]


def list_stage(cursor: DictCursor, wanted: Account) -> None:
    """Lists the lake's stage as the loader, which needs the whole chain: integration, AWS role, trust, bucket. Raises
    the connector's ProgrammingError with AWS's reason."""
    cursor.execute(f"USE ROLE {quoted(wanted.loader)}")
    cursor.execute(f"LIST @{stage(wanted.database).sql}/_doctor/")


def shown(cursor: DictCursor, statement: str, name: str) -> list[dict[str, Any]]:
    """The rows of a SHOW ... LIKE statement with exactly this name: in LIKE, an underscore is any character."""
    cursor.execute(statement)
    return [row for row in cursor.fetchall() if row["name"] == name]


def described(cursor: DictCursor, statement: str, column: str) -> dict[str, str]:
    """{property: value} of a DESC statement."""
    cursor.execute(statement)
    return {str(row["property"]).upper(): str(row[column]) for row in cursor.fetchall()}


def _warehouse_and_database(wanted: Account, roles: Sequence[str]) -> Iterator[str]:
    loader, transformer, reader = roles
    warehouse, database = quoted(wanted.warehouse), quoted(wanted.database)
    yield "USE ROLE SYSADMIN"
    yield (
        f"CREATE WAREHOUSE IF NOT EXISTS {warehouse}"
        " WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE"
    )
    yield f"CREATE DATABASE IF NOT EXISTS {database}"
    for role in roles:
        yield f"GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE {role}"
    for role in (loader, transformer):
        yield f"GRANT USAGE, CREATE SCHEMA ON DATABASE {database} TO ROLE {role}"
    yield f"GRANT USAGE ON DATABASE {database} TO ROLE {reader}"


def _schemas(wanted: Account, loader: str, transformer: str, reader: str, raw_schemas: Sequence[str]) -> Iterator[str]:
    database = quoted(wanted.database)
    ledger, marts = f"{database}.{quoted(PLATFORM)}", f"{database}.{quoted(MARTS)}"
    # Each schema belongs to the role that writes it. PLATFORM comes before the grants on future schemas.
    yield f"USE ROLE {loader}"
    yield f"CREATE SCHEMA IF NOT EXISTS {ledger}"
    yield f"USE ROLE {transformer}"
    yield f"CREATE SCHEMA IF NOT EXISTS {marts}"
    yield "USE ROLE SECURITYADMIN"
    # A schema's future grants replace the database's for the same kind of object, whatever the role
    # (docs.snowflake.com/en/sql-reference/sql/grant-privilege). This one gives the loader nothing new: it keeps the
    # ledger's tables out of the transformer's grant below.
    yield f"GRANT SELECT ON FUTURE TABLES IN SCHEMA {ledger} TO ROLE {loader}"
    yield f"GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {database} TO ROLE {transformer}"
    yield f"GRANT SELECT ON FUTURE TABLES IN DATABASE {database} TO ROLE {transformer}"
    for schema in raw_schemas:
        yield f"GRANT USAGE ON SCHEMA {database}.{quoted(schema)} TO ROLE {transformer}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {database}.{quoted(schema)} TO ROLE {transformer}"
    yield f"GRANT USAGE ON SCHEMA {marts} TO ROLE {reader}"
    for when in ("ALL", "FUTURE"):
        for kind in ("TABLES", "VIEWS"):
            yield f"GRANT SELECT ON {when} {kind} IN SCHEMA {marts} TO ROLE {reader}"


def _users(wanted: Account) -> Iterator[str]:
    parameters = " ".join(f"{name} = {_value(value)}" for name, value in USER_PARAMETERS.items())
    yield "USE ROLE USERADMIN"
    for name, role in wanted.users.items():
        user = quoted(name)
        yield f"CREATE USER IF NOT EXISTS {user} TYPE = SERVICE"
        # Without secondary roles, a session has exactly the rights of its role.
        defaults = f"DEFAULT_ROLE = {quoted(role)} DEFAULT_WAREHOUSE = {quoted(wanted.warehouse)}"
        yield f"ALTER USER {user} SET {defaults} DEFAULT_SECONDARY_ROLES = () {parameters}"
    yield "USE ROLE SECURITYADMIN"
    for name, role in wanted.users.items():
        yield f"GRANT ROLE {quoted(role)} TO USER {quoted(name)}"


def _limit(wanted: Account) -> Iterator[str]:
    warehouse = quoted(wanted.warehouse)
    yield "USE ROLE ACCOUNTADMIN"
    yield (
        f"CREATE RESOURCE MONITOR IF NOT EXISTS {warehouse} WITH CREDIT_QUOTA = {wanted.credits} FREQUENCY = MONTHLY"
        " START_TIMESTAMP = IMMEDIATELY TRIGGERS ON 80 PERCENT DO NOTIFY ON 100 PERCENT DO SUSPEND"
    )
    yield f"ALTER RESOURCE MONITOR {warehouse} SET CREDIT_QUOTA = {wanted.credits}"
    yield f"ALTER WAREHOUSE {warehouse} SET RESOURCE_MONITOR = {warehouse}"
    yield f"GRANT MONITOR ON RESOURCE MONITOR {warehouse} TO ROLE {quoted(wanted.loader)}"  # for the metric of credits


def _integration(wanted: Account, loader: str) -> Iterator[str]:
    integration, lake = quoted(wanted.integration), stage(wanted.database)
    aws = f"STORAGE_AWS_ROLE_ARN = {literal(wanted.aws_role_arn)}"
    locations = f"STORAGE_ALLOWED_LOCATIONS = ({literal(wanted.location)})"
    yield (
        f"CREATE STORAGE INTEGRATION IF NOT EXISTS {integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3'"
        f" ENABLED = TRUE {aws} {locations}"
    )
    yield f"ALTER STORAGE INTEGRATION {integration} SET ENABLED = TRUE {aws} {locations}"
    yield f"GRANT USAGE ON INTEGRATION {integration} TO ROLE {loader}"
    yield f"USE ROLE {loader}"
    yield (
        f"CREATE STAGE IF NOT EXISTS {lake.sql} URL = {literal(wanted.location)} STORAGE_INTEGRATION = {integration}"
    )


def _value(value: str) -> str:
    return value if value.isdecimal() or value in ("TRUE", "FALSE") else literal(value)
