"""Creates what the platform expects in its cloud: buckets, partners' SFTP users, databases and their roles. Idempotent.

The supervisor runs it as a process with an environment of its own, so that no AWS profile, proxy or Snowflake setting
of the developer's reaches boto3 or the connector. It reads its Plan as JSON from standard input. `warehouse` creates
tables, stages and file formats.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import psycopg2
import snowflake.connector
from botocore.config import Config
from psycopg2 import sql

from data_platform.landing.partners import home_directory_mappings, session_policy
from data_platform.local_cloud.declared import PartnerAccess
from data_platform.local_cloud.ecs import provision as ecs_provision
from data_platform.local_cloud.plan import Bucket, Plan, PostgresDatabase, Reader, SnowflakeAccess

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_transfer import TransferClient

ROLE_ARN = "arn:aws:iam::000000000000:role/sftp-partner"


def buckets(s3: S3Client, declared: Iterable[Bucket]) -> None:
    """Create the missing buckets, and set versioning and lifecycle of all."""
    existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in declared:
        if bucket.name not in existing:
            s3.create_bucket(Bucket=bucket.name)
        if bucket.versioned:
            s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
        rules: Any = bucket.lifecycle()
        s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": rules})


def sftp_users(transfer: TransferClient, partners: Iterable[PartnerAccess], landing_bucket: str) -> str:
    """Create the one Transfer server and exactly the declared users. Returns the server's id.

    A user that already matches its declaration stays; one that differs is replaced; one that is no longer declared is
    deleted.
    """
    servers = sorted(server["ServerId"] for server in transfer.list_servers()["Servers"])
    server = servers[0] if servers else transfer.create_server(Protocols=["SFTP"], Domain="S3")["ServerId"]
    pages = transfer.get_paginator("list_users").paginate(ServerId=server)
    existing = {user["UserName"] for page in pages for user in page["Users"]}
    declared = {partner.name: partner for partner in partners}
    for name in sorted(existing - declared.keys()):
        transfer.delete_user(ServerId=server, UserName=name)
    for name, partner in declared.items():
        mappings: Any = home_directory_mappings(landing_bucket, name)
        policy = json.dumps(session_policy(landing_bucket, name), sort_keys=True)
        if name in existing:
            user = transfer.describe_user(ServerId=server, UserName=name)["User"]
            have = {key["SshPublicKeyBody"] for key in user.get("SshPublicKeys", [])}
            if (
                user.get("HomeDirectoryMappings") == mappings
                and user.get("Policy") == policy
                and have == set(partner.public_keys)
            ):
                continue
            transfer.delete_user(ServerId=server, UserName=name)
        transfer.create_user(
            ServerId=server,
            UserName=name,
            Role=ROLE_ARN,
            HomeDirectoryType="LOGICAL",
            HomeDirectoryMappings=mappings,
            Policy=policy,
        )
        for line in dict.fromkeys(partner.public_keys):
            transfer.import_ssh_public_key(ServerId=server, UserName=name, SshPublicKeyBody=line)
    return server


def postgres_databases(host: str, port: int, password: str, declared: Iterable[PostgresDatabase]) -> None:
    """Create the missing roles and databases, set the roles' passwords, and let readers read. Nobody else may
    connect."""

    @contextmanager
    def superuser(database: str) -> Iterator[Any]:
        connection = psycopg2.connect(host=host, port=port, user="postgres", password=password, dbname=database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    readers: list[tuple[str, Reader]] = []
    with superuser("postgres") as cursor:
        for database in declared:
            name = sql.Identifier(database.name)
            _role(cursor, database.name, database.password)
            cursor.execute("select 1 from pg_database where datname = %s", (database.name,))
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create database {} owner {}").format(name, name))
            cursor.execute(sql.SQL("revoke connect, temporary on database {} from public").format(name))
            if reader := database.reader:
                _role(cursor, reader.name, reader.password)
                grant = sql.SQL("grant connect on database {} to {}")
                cursor.execute(grant.format(name, sql.Identifier(reader.name)))
                readers.append((database.name, reader))
    for owner, reader in readers:
        with superuser(owner) as cursor:
            _let_read(cursor, owner, reader)


def _role(cursor: Any, role: str, password: str) -> None:
    cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
    verb = sql.SQL("alter" if cursor.fetchone() else "create")
    statement = sql.SQL("{} role {} login password {}")
    cursor.execute(statement.format(verb, sql.Identifier(role), sql.Literal(password)))


def _let_read(cursor: Any, owner: str, reader: Reader) -> None:
    """Create the schemas, and let the reader read their tables: those that are there, and those that the owner is going
    to create."""
    for schema in reader.schemas:
        for statement in (
            "create schema if not exists {schema} authorization {owner}",
            "grant usage on schema {schema} to {reader}",
            "grant select on all tables in schema {schema} to {reader}",
            "alter default privileges for role {owner} in schema {schema} grant select on tables to {reader}",
        ):
            names = {"schema": schema, "owner": owner, "reader": reader.name}
            cursor.execute(sql.SQL(statement).format(**{key: sql.Identifier(name) for key, name in names.items()}))


def snowflake_database(host: str, access: SnowflakeAccess) -> None:
    """Sign in by key pair, as the platform does, and create the database."""
    connection = snowflake.connector.connect(
        host=host,
        port=access.port,
        protocol="http",
        account=access.account,
        user=access.user,
        private_key_file=access.private_key_file,
        authenticator="SNOWFLAKE_JWT",
        login_timeout=20,
        network_timeout=20,
    )
    try:
        connection.cursor().execute(f"CREATE DATABASE IF NOT EXISTS {access.database}")
    finally:
        connection.close()


def apply(plan: Plan) -> None:
    """Create everything in the plan. Running it again changes nothing."""
    session = boto3.Session(
        aws_access_key_id=plan.access_key_id,
        aws_secret_access_key=plan.secret_access_key,
        region_name=plan.region,
    )
    endpoint = f"http://{plan.host}:{plan.aws_port}"
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    buckets(session.client("s3", endpoint_url=endpoint, config=config), plan.buckets)
    transfer = session.client("transfer", endpoint_url=endpoint, config=config)
    sftp_users(transfer, plan.partners, plan.landing_bucket)
    if plan.ecs is not None:
        client: Any = session.client
        ecs_provision.make(lambda service: client(service, endpoint_url=endpoint, config=config), plan.ecs)
    postgres_databases(plan.host, plan.postgres_port, plan.postgres_password, plan.databases)
    if plan.snowflake is not None:
        snowflake_database(plan.host, plan.snowflake)


def main() -> None:
    """Read the plan and apply it. The imports above are slow: they overlap with the start of the parts."""
    apply(Plan.from_json(sys.stdin.read()))


if __name__ == "__main__":
    main()
