"""All settings, by system: each field with its default, expected value and example. A new system is one class here and
one line in `PlatformSettings`; where values come from is in the package, rules over several settings are in `rules`,
Snowflake's settings in `snowflake`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo

from data_platform.environment.base import Endpoint, Group, InLocal, Named, Port, prefix
from data_platform.environment.connections import CONNECTION, POSTGRES
from data_platform.environment.snowflake import DbtUser, ReaderUser, SnowflakeSettings


def _known_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone")
    return value


def _json(text: str | None) -> str | None:
    try:
        if text is not None and not isinstance(json.loads(text), dict):
            raise ValueError
    except ValueError:
        raise ValueError("it is no JSON object") from None
    return text


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Names separated by commas."""
TimeZone = Annotated[str, AfterValidator(_known_time_zone)]
EnvironmentName = Literal["local", "dev", "prod"]
RunsOn = Literal["process", "ecs"]


class AwsSettings(Group, alias_generator=prefix("AWS_")):
    """AWS. On ECS the endpoint and the keys are unset: the task role signs requests."""

    region: str = Field("us-east-1", description="an AWS region", examples=["eu-west-1"])
    endpoint_url: Annotated[str | None, Endpoint()] = Field(
        None, description="an http(s) URL", examples=["http://127.0.0.1:4566"]
    )
    access_key_id: SecretStr | None = Field(None, description="an access key id")
    secret_access_key: SecretStr | None = Field(None, description="a secret access key")


class SftpSettings(Group, alias_generator=prefix("SFTP_")):
    """The SFTP server that partners sign in to."""

    host: Annotated[str | None, Endpoint()] = Field(None, description="a host name", examples=["sftp.example.org"])
    port: Port = Field(22, description="a port", examples=["22"])
    smoke_private_key: SecretStr | None = Field(
        None,
        alias="SMOKE_PRIVATE_KEY",
        description="the private key (OpenSSH or PEM) of the partner `smoke`, as which `data-platform smoke` delivers",
    )


class EcsSettings(Group, alias_generator=prefix("DATA_PLATFORM_ECS_")):
    """The ECS cluster that runs are tasks of. Where DATA_PLATFORM_RUNS_ON is `ecs`, the containers that launch runs
    need all of it (`data-platform instance` names missing variables); a run itself needs none."""

    cluster: str | None = Field(None, description="an ECS cluster", examples=["data-platform"])
    subnets: Names = Field((), description="subnets, separated by commas", examples=["subnet-0a1,subnet-0b2"])
    security_groups: Names = Field((), description="security groups, separated by commas", examples=["sg-0c3"])
    assign_public_ip: Literal["ENABLED", "DISABLED"] = Field(
        "DISABLED",
        description="ENABLED, or DISABLED (then the subnets need another route to AWS and Snowflake)",
        examples=["DISABLED"],
    )
    log_group: str | None = Field(
        None, description="the CloudWatch log group of runs", examples=["/data-platform/runs"]
    )
    task_role_arn: str | None = Field(
        None, description="the IAM role of a run", examples=["arn:aws:iam::123456789012:role/data-platform-run"]
    )
    execution_role_arn: str | None = Field(
        None,
        description="the IAM role that starts a run: it pulls the image, reads the secrets and writes the log",
        examples=["arn:aws:iam::123456789012:role/data-platform-start"],
    )


class CodeSettings(Group, alias_generator=prefix("DATA_PLATFORM_CODE_")):
    """The git repository to serve code from instead of the image. `commit`: the commit that this process runs; the code
    server passes it to its runs."""

    url: Annotated[str | None, Endpoint(needed=False)] = Field(
        None, description="a git URL", examples=["https://git.example.org/team/data-platform.git"]
    )
    ref: str | None = Field(None, description="a branch or tag", examples=["main"])
    token: SecretStr | None = Field(None, description="a token that may read it")
    commit: Commit | None = Field(None, description="a commit's hash")
    webhook_secret: SecretStr | None = Field(None, description="the secret that a git server signs its calls with")


class DbtCodeSettings(Group, alias_generator=prefix("DATA_PLATFORM_DBT_")):
    """The same for a dbt project with a repository of its own."""

    url: Annotated[str | None, Endpoint(needed=False)] = Field(
        None, description="a git URL", examples=["https://git.example.org/team/dbt.git"]
    )
    ref: str | None = Field(None, description="a branch or tag", examples=["v1.4"])
    token: SecretStr | None = Field(None, description="a token that may read it")
    commit: Commit | None = Field(None, description="a commit's hash")
    project_dir: Path | None = Field(
        None, description="the dbt project's folder, if it isn't dbt_project", examples=["/srv/dbt"]
    )


class PlatformSettings(Group, alias_generator=prefix("DATA_PLATFORM_")):
    """The platform's own settings, and the systems'."""

    environment: EnvironmentName = Field("local", description="local, dev or prod", examples=["dev"])
    time_zone: Annotated[TimeZone, InLocal("America/New_York")] = Field(
        description="an IANA time zone, for schedules and days", examples=["Europe/Paris"]
    )
    lake_bucket: Annotated[Bucket, InLocal("data-platform-lake")] = Field(
        description="the S3 bucket of extracts", examples=["my-team-lake"]
    )
    landing_bucket: Annotated[Bucket, InLocal("data-platform-landing")] = Field(
        description="the S3 bucket partners deliver to", examples=["my-team-landing"]
    )
    dagster_postgres_url: Annotated[SecretStr | None, Endpoint()] = Field(
        None,
        alias="DAGSTER_POSTGRES_URL",
        description="a postgresql:// URL for Dagster's own storage",
        examples=["postgresql://dagster@127.0.0.1:5432/dagster"],
    )
    dagster_postgres_secret_arn: str | None = Field(
        None, alias="DAGSTER_POSTGRES_SECRET_ARN", description="RDS's secret, if RDS changes that database's password"
    )
    state_dir: Path = Field(Path(".local"), description="a folder", examples=[".local"])
    dagster_home: Annotated[Path | None, AfterValidator(lambda path: path and path.absolute())] = Field(
        None, alias="DAGSTER_HOME", description="the folder of Dagster's dagster.yaml", examples=["/opt/dagster"]
    )
    repository_url: str | None = Field(
        None, description="the git repository's web address, for links", examples=["https://git.example.org/team/data"]
    )
    logs_bucket: Bucket | None = Field(None, description="the S3 bucket of the runs' output", examples=["my-team-logs"])
    runs_on: Annotated[RunsOn, InLocal("process")] = Field(
        "ecs",
        description="`ecs` (a run is a Fargate task) or `process` (a process beside the code server)",
        examples=["ecs"],
    )
    run_image: str | None = Field(
        None,
        alias="DAGSTER_CURRENT_IMAGE",
        description="the image of runs that are tasks; the code server passes it to Dagster",
        examples=["123456789012.dkr.ecr.us-east-1.amazonaws.com/data-platform:4f2c9aa"],
    )
    container_context: Annotated[str | None, AfterValidator(_json)] = Field(
        None,
        alias="DAGSTER_CONTAINER_CONTEXT",
        description="JSON: the variables and secrets of runs; the code server passes it to Dagster",
        examples=['{"ecs":{"env_vars":["AWS_REGION=us-east-1"]}}'],
    )
    max_runs: Annotated[int, InLocal("4")] = Field(25, description="how many runs at a time", examples=["25"], ge=1)
    max_landing_runs: Annotated[int, InLocal("3")] = Field(
        10, description="how many of them may be landing runs, or runs of one backfill", examples=["10"], ge=1
    )
    max_partner_runs: Annotated[int, InLocal("2")] = Field(
        4, description="how many landing runs may be of one partner that has many files", examples=["4"], ge=1
    )
    connections: Annotated[Mapping[str, SecretStr], Endpoint(needed=False), Named(CONNECTION)] = Field(
        default_factory=dict,
        description="the URL of a database or web API that feeds read",
        examples=[POSTGRES.example],
    )
    aws: AwsSettings
    snowflake: SnowflakeSettings
    snowflake_dbt: DbtUser
    snowflake_reader: ReaderUser
    sftp: SftpSettings
    ecs: EcsSettings
    code: CodeSettings
    dbt_code: DbtCodeSettings


def groups_in(group: type[Group]) -> dict[str, type[Group]]:
    """The groups within a group, by alias."""
    fields = group.model_fields.values()
    return {
        str(field.alias): field.annotation
        for field in fields
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group)
    }


def declared(group: type[Group]) -> dict[str, FieldInfo]:
    """Every setting of a group and the groups within it, by variable; without those that are set by name."""
    inner = groups_in(group)
    others = {*inner, *named_fields(group)}
    own = {str(field.alias): field for field in group.model_fields.values() if str(field.alias) not in others}
    return own | {variable: field for each in inner.values() for variable, field in declared(each).items()}


def named_fields(group: type[Group]) -> dict[str, str]:
    """{alias: prefix of its variables} of a group's fields that hold values by name."""
    return {
        str(field.alias): mark.prefix
        for field in group.model_fields.values()
        for mark in field.metadata
        if isinstance(mark, Named)
    }


def fields_of(group: Group) -> Iterator[tuple[str, FieldInfo, Any]]:
    """(variable, field, value) for each setting of a group and the groups within it."""
    named = named_fields(type(group))
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Group):
            yield from fields_of(value)
        elif field.alias in named:
            yield from ((named[field.alias] + key.upper(), field, each) for key, each in value.items())
        else:
            yield str(field.alias), field, value


def text_of(value: Any) -> str:
    """A setting's value as its variable's text; a path is absolute."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.absolute() if isinstance(value, Path) else value)
