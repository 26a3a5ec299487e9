"""The plan of what to provision, as plain data: the provisioning process gets it as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from data_platform.local_cloud import aws, keys
from data_platform.local_cloud.declared import Declared, PartnerAccess
from data_platform.local_cloud.ecs.plan import LOGS_BUCKET, EcsPlan
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform.local_cloud.spec import CloudSpec


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket: whether it keeps versions, and the days until it deletes old versions and unfinished uploads."""

    name: str
    versioned: bool = False
    noncurrent_days: int = 90
    unfinished_upload_days: int = 7

    def lifecycle(self) -> list[dict[str, Any]]:
        """The rules as S3's PutBucketLifecycleConfiguration takes them."""
        rules: list[dict[str, Any]] = [
            {
                "ID": "abort-unfinished-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": self.unfinished_upload_days},
            }
        ]
        if self.versioned:
            rules.append(
                {
                    "ID": "expire-noncurrent-versions",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": self.noncurrent_days},
                    "Expiration": {"ExpiredObjectDeleteMarker": True},
                }
            )
        return rules


@dataclass(frozen=True)
class Reader:
    """A role that may read the tables of these schemas, and nothing else."""

    name: str
    password: str
    schemas: tuple[str, ...]


@dataclass(frozen=True)
class PostgresDatabase:
    """A database and the role that owns it, of the same name. `reader`: of a source's database, the platform's role."""

    name: str
    password: str
    reader: Reader | None = None

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> PostgresDatabase:
        """The database from what `asdict` and JSON made of it."""
        reader = fields["reader"]
        if reader is not None:
            reader = Reader(**{**reader, "schemas": tuple(reader["schemas"])})
        return cls(**{**fields, "reader": reader})


@dataclass(frozen=True)
class SnowflakeAccess:
    """How to sign in to the local Snowflake, and the database to create."""

    port: int
    private_key_file: str
    account: str
    user: str
    role: str
    warehouse: str
    database: str


@dataclass(frozen=True)
class Plan:
    """Everything to provision, and where."""

    host: str
    aws_port: int
    region: str
    access_key_id: str
    secret_access_key: str
    buckets: tuple[Bucket, ...]
    landing_bucket: str
    partners: tuple[PartnerAccess, ...]
    postgres_port: int
    postgres_password: str
    databases: tuple[PostgresDatabase, ...]
    snowflake: SnowflakeAccess | None
    ecs: EcsPlan | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        fields = json.loads(text)
        fields["buckets"] = tuple(Bucket(**bucket) for bucket in fields["buckets"])
        partners = fields["partners"]
        fields["partners"] = tuple(PartnerAccess(p["name"], tuple(p["public_keys"])) for p in partners)
        fields["databases"] = tuple(map(PostgresDatabase.from_fields, fields["databases"]))
        fields["snowflake"] = SnowflakeAccess(**fields["snowflake"]) if fields["snowflake"] else None
        if fields["ecs"]:
            fields["ecs"] = EcsPlan(**{**fields["ecs"], "roles": tuple(fields["ecs"]["roles"])})
        return cls(**fields)


def cloud_plan(
    layout: Layout,
    ports: Mapping[str, int],
    spec: CloudSpec,
    declared: Declared,
    ecs: EcsPlan | None = None,
) -> Plan:
    """The plan of a local cloud, with `ecs` where runs are tasks. Each partner gets the developer's key (see `keys`)
    besides its declared ones."""
    private_key, _ = keys.snowflake_key_pair(layout)
    return Plan(
        host=LOOPBACK,
        aws_port=ports["aws"],
        region=aws.REGION,
        access_key_id=aws.CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_access_key=aws.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        buckets=(
            Bucket(spec.lake_bucket),
            Bucket(spec.landing_bucket, versioned=True),
            *((Bucket(LOGS_BUCKET),) if ecs else ()),
        ),
        landing_bucket=spec.landing_bucket,
        partners=tuple(
            replace(p, public_keys=(*p.public_keys, keys.partner_public_key(layout, p.name))) for p in declared.partners
        ),
        postgres_port=ports["postgres"],
        postgres_password=keys.password(layout, "postgres"),
        databases=(
            *(PostgresDatabase(name, keys.password(layout, name)) for name in spec.postgres_databases),
            *(_source_database(layout, name, schemas) for name, schemas in declared.databases.items()),
        ),
        snowflake=SnowflakeAccess(port=ports["snowflake"], private_key_file=str(private_key), **spec.snowflake),
        ecs=ecs,
    )


def _source_database(layout: Layout, name: str, schemas: tuple[str, ...]) -> PostgresDatabase:
    role = keys.reader_of(name)
    return PostgresDatabase(name, keys.password(layout, name), Reader(role, keys.password(layout, role), schemas))
