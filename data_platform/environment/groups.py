"""The groups of settings: each field with its variable, its expected value and an example. Rules over several settings
are in `rules`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


@dataclass(frozen=True)
class Endpoint:
    """Marks a field with the address of a service; in `local` it must be on this machine. `needed`: the platform can't
    work without it."""

    needed: bool = True


class Group(BaseModel):
    """A frozen group of settings whose fields' aliases are the names of environment variables."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class AwsSettings(Group):
    """AWS. On ECS the endpoint and the keys are unset: the task role signs requests."""

    region: str = Field("us-east-1", alias="AWS_REGION", description="an AWS region", examples=["eu-west-1"])
    endpoint_url: Annotated[str | None, Endpoint()] = Field(
        None, alias="AWS_ENDPOINT_URL", description="an http(s) URL", examples=["http://127.0.0.1:4566"]
    )
    access_key_id: SecretStr | None = Field(None, alias="AWS_ACCESS_KEY_ID", description="an access key id")
    secret_access_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY", description="a secret access key")


class SnowflakeSettings(Group):
    """The Snowflake account, and the user that signs in to it by key pair. Host, port and protocol are for `local`."""

    account: str = Field(alias="SNOWFLAKE_ACCOUNT", description="an account identifier", examples=["myorg-team"])
    user: str = Field(alias="SNOWFLAKE_USER", description="a service user", examples=["DATA_PLATFORM"])
    role: str = Field(alias="SNOWFLAKE_ROLE", description="the role to use", examples=["DATA_PLATFORM_LOADER"])
    warehouse: str = Field(alias="SNOWFLAKE_WAREHOUSE", description="a warehouse", examples=["DATA_PLATFORM"])
    database: str = Field(alias="SNOWFLAKE_DATABASE", description="a database", examples=["DATA_PLATFORM"])
    private_key: SecretStr | None = Field(
        None, alias="SNOWFLAKE_PRIVATE_KEY", description="a PEM private key (PKCS #8)"
    )
    private_key_path: Path | None = Field(
        None, alias="SNOWFLAKE_PRIVATE_KEY_PATH", description="a PEM file", examples=[".local/keys/snowflake.p8"]
    )
    private_key_passphrase: SecretStr | None = Field(
        None, alias="SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", description="the private key's passphrase"
    )
    host: Annotated[str | None, Endpoint()] = Field(
        None, alias="SNOWFLAKE_HOST", description="a host name", examples=["127.0.0.1"]
    )
    port: int | None = Field(None, alias="SNOWFLAKE_PORT", description="a port", examples=["443"], ge=1, le=65535)
    protocol: Literal["https", "http"] = Field(
        "https", alias="SNOWFLAKE_PROTOCOL", description="https (or http, in local)", examples=["https"]
    )


class SftpSettings(Group):
    """The SFTP server that partners sign in to."""

    host: Annotated[str | None, Endpoint()] = Field(
        None, alias="SFTP_HOST", description="a host name", examples=["sftp.example.org"]
    )
    port: int = Field(22, alias="SFTP_PORT", description="a port", examples=["22"], ge=1, le=65535)


def _listed(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Names separated by commas."""


class EcsSettings(Group):
    """The ECS cluster that runs are tasks of. Where DATA_PLATFORM_RUNS_ON is `ecs`, the containers that launch runs
    need all of it (`data-platform instance` names missing variables); a run itself needs none."""

    cluster: str | None = Field(
        None, alias="DATA_PLATFORM_ECS_CLUSTER", description="an ECS cluster", examples=["data-platform"]
    )
    subnets: Names = Field(
        (), alias="DATA_PLATFORM_ECS_SUBNETS", description="subnets, with commas", examples=["subnet-0a1,subnet-0b2"]
    )
    security_groups: Names = Field(
        (), alias="DATA_PLATFORM_ECS_SECURITY_GROUPS", description="security groups, with commas", examples=["sg-0c3"]
    )
    assign_public_ip: Literal["ENABLED", "DISABLED"] = Field(
        "DISABLED",
        alias="DATA_PLATFORM_ECS_ASSIGN_PUBLIC_IP",
        description="ENABLED or DISABLED (then the subnets need a way to AWS and Snowflake)",
        examples=["DISABLED"],
    )
    log_group: str | None = Field(
        None,
        alias="DATA_PLATFORM_ECS_LOG_GROUP",
        description="the CloudWatch log group of runs",
        examples=["/data-platform/runs"],
    )
    task_role_arn: str | None = Field(
        None,
        alias="DATA_PLATFORM_ECS_TASK_ROLE_ARN",
        description="the IAM role of a run",
        examples=["arn:aws:iam::123456789012:role/data-platform-run"],
    )
    execution_role_arn: str | None = Field(
        None,
        alias="DATA_PLATFORM_ECS_EXECUTION_ROLE_ARN",
        description="the IAM role that starts a run: it pulls the image, reads the secrets and writes the log",
        examples=["arn:aws:iam::123456789012:role/data-platform-start"],
    )


class CodeSettings(Group):
    """The git repository that code comes from, if not from the image. `commit`: the commit that this process runs; the
    code server passes it to its runs."""

    url: Annotated[str | None, Endpoint(needed=False)] = Field(
        None,
        alias="DATA_PLATFORM_CODE_URL",
        description="a git URL",
        examples=["https://git.example.org/team/data-platform.git"],
    )
    ref: str | None = Field(None, alias="DATA_PLATFORM_CODE_REF", description="a branch or tag", examples=["main"])
    token: SecretStr | None = Field(None, alias="DATA_PLATFORM_CODE_TOKEN", description="a token that may read it")
    commit: str | None = Field(
        None, alias="DATA_PLATFORM_CODE_COMMIT", description="a commit's hash", pattern=r"^[0-9a-f]{40,64}$"
    )
    webhook_secret: SecretStr | None = Field(
        None, alias="DATA_PLATFORM_CODE_WEBHOOK_SECRET", description="the secret that a git server signs its calls with"
    )


class DbtCodeSettings(Group):
    """The same for a dbt project with a repository of its own."""

    url: Annotated[str | None, Endpoint(needed=False)] = Field(
        None, alias="DATA_PLATFORM_DBT_URL", description="a git URL", examples=["https://git.example.org/team/dbt.git"]
    )
    ref: str | None = Field(None, alias="DATA_PLATFORM_DBT_REF", description="a branch or tag", examples=["v1.4"])
    token: SecretStr | None = Field(None, alias="DATA_PLATFORM_DBT_TOKEN", description="a token that may read it")
    commit: str | None = Field(
        None, alias="DATA_PLATFORM_DBT_COMMIT", description="a commit's hash", pattern=r"^[0-9a-f]{40,64}$"
    )
    project_dir: Path | None = Field(
        None,
        alias="DATA_PLATFORM_DBT_PROJECT_DIR",
        description="the dbt project's folder, if it isn't dbt_project",
        examples=["/srv/dbt"],
    )


def text_of(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.absolute() if isinstance(value, Path) else value)


def fields_of(group: Group) -> Iterator[tuple[str, Any, Any]]:
    """(variable, field, value) for each setting of a group and the groups within it."""
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Group):
            yield from fields_of(value)
        else:
            yield str(field.alias), field, value
