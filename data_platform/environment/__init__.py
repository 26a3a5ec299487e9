"""The platform's settings, and the only place that reads the process environment.

Values come from, strongest first: the process environment, `.env`, and the file that the local cloud writes
(`<state dir>/cloud.env`, read in `local` only). Nothing here connects to anything, and nothing is read at import.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError

from data_platform.environment.groups import (
    AwsSettings,
    CodeSettings,
    DbtCodeSettings,
    EcsSettings,
    Endpoint,
    Group,
    SftpSettings,
    SnowflakeSettings,
    fields_of,
    text_of,
)
from data_platform.environment.rules import contradictions, endpoints, explain

EnvironmentName = Literal["local", "dev", "prod"]
RunsOn = Literal["process", "ecs"]


class SettingsError(Exception):
    """The environment is incomplete or wrong; the message names each variable, what it takes, and an example."""


def _known_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone")
    return value


def _absolute(value: Path | None) -> Path | None:
    return None if value is None else value.absolute()


class Settings(Group):
    """All differences between a laptop, a development account and production. Immutable."""

    environment: EnvironmentName = Field(
        "local", alias="DATA_PLATFORM_ENVIRONMENT", description="local, dev or prod", examples=["dev"]
    )
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = Field(
        "America/New_York",
        alias="DATA_PLATFORM_TIME_ZONE",
        description="an IANA time zone, for schedules and days",
        examples=["Europe/Paris"],
    )
    lake_bucket: str = Field(
        alias="DATA_PLATFORM_LAKE_BUCKET",
        description="the S3 bucket of extracts",
        examples=["my-team-lake"],
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    landing_bucket: str = Field(
        alias="DATA_PLATFORM_LANDING_BUCKET",
        description="the S3 bucket partners deliver to",
        examples=["my-team-landing"],
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    dagster_postgres_url: Annotated[SecretStr | None, Endpoint()] = Field(
        None,
        alias="DAGSTER_POSTGRES_URL",
        description="a postgresql:// URL for Dagster's own storage",
        examples=["postgresql://dagster@127.0.0.1:5432/dagster"],
    )
    state_dir: Path = Field(
        Path(".local"), alias="DATA_PLATFORM_STATE_DIR", description="a folder", examples=[".local"]
    )
    dagster_home: Annotated[Path | None, AfterValidator(_absolute)] = Field(
        None,
        alias="DAGSTER_HOME",
        description="the folder of Dagster's dagster.yaml",
        examples=["/opt/dagster"],
    )
    repository_url: str | None = Field(
        None,
        alias="DATA_PLATFORM_REPOSITORY_URL",
        description="the git repository's web address, which the UI links to",
        examples=["https://git.example.org/team/data-platform"],
    )
    logs_bucket: str | None = Field(
        None,
        alias="DATA_PLATFORM_LOGS_BUCKET",
        description="the S3 bucket of the runs' output",
        examples=["my-team-dagster-logs"],
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    runs_on: RunsOn = Field(
        "ecs",
        alias="DATA_PLATFORM_RUNS_ON",
        description="`ecs` (a run is a Fargate task) or `process` (a process beside the code server)",
        examples=["ecs"],
    )
    run_image: str | None = Field(
        None,
        alias="DAGSTER_CURRENT_IMAGE",
        description="the image of runs that are tasks; the code server passes it to Dagster",
        examples=["123456789012.dkr.ecr.us-east-1.amazonaws.com/data-platform:4f2c9aa"],
    )
    container_context: str | None = Field(
        None,
        alias="DAGSTER_CONTAINER_CONTEXT",
        description="JSON: the variables and secrets of runs; the code server passes it to Dagster",
        examples=['{"ecs":{"env_vars":["AWS_REGION=us-east-1"]}}'],
    )
    max_runs: int = Field(
        25, alias="DATA_PLATFORM_MAX_RUNS", description="how many runs at a time", examples=["25"], ge=1
    )
    max_landing_runs: int = Field(
        10,
        alias="DATA_PLATFORM_MAX_LANDING_RUNS",
        description="how many of them may be landing runs, or of one backfill",
        examples=["10"],
        ge=1,
    )
    aws: AwsSettings
    snowflake: SnowflakeSettings
    sftp: SftpSettings
    ecs: EcsSettings
    code: CodeSettings
    dbt_code: DbtCodeSettings

    @property
    def zone(self) -> ZoneInfo:
        """The city's time zone."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Reads and checks all settings; raises SettingsError naming every wrong variable at once."""
        given = {name: value for name, value in env.items() if value != ""}
        if given.get("DATA_PLATFORM_ENVIRONMENT", "local") == "local":
            given = {**LOCAL_DEFAULTS, **given}
            if "SNOWFLAKE_PRIVATE_KEY" in given:  # set by hand, where the path comes from the local cloud
                del given["SNOWFLAKE_PRIVATE_KEY_PATH"]
        try:
            loaded = cls.model_validate({**given, **dict.fromkeys(_GROUPS, given)})
        except ValidationError as error:
            raise SettingsError(explain(error, _known())) from None
        problems = list(contradictions(loaded))
        if problems:
            raise SettingsError("The settings are wrong.\n" + "\n".join(f"  {line}" for line in problems))
        return loaded

    def require_endpoints(self) -> Settings:
        """Returns self where connections may be made; in `local` every endpoint must be known (fails closed:
        a missing endpoint would otherwise mean the real AWS or Snowflake). Raises SettingsError."""
        if self.environment == "local":
            missing = [name for name, value, needed in endpoints(self) if needed and value is None]
            if missing:
                raise SettingsError(
                    f"The local cloud is not up: {', '.join(missing)} unset. Run `data-platform up`, which writes"
                    f" {self.state_dir / 'cloud.env'}."
                )
        return self

    def process_environment(self) -> dict[str, str]:
        """The variables that a child process (dbt, a Dagster code server) needs to see the same settings. Paths
        are absolute: a child may work in another folder."""
        # boto3 knows the region by its other name only, and Dagster's run launcher asks boto3 for nothing else.
        given = {"AWS_DEFAULT_REGION": self.aws.region}
        return given | {name: text_of(value) for name, _, value in fields_of(self) if value is not None}

    def adopt(self) -> Settings:
        """Puts the settings into this process's environment, for libraries that look nowhere else (Dagster's
        instance, dbt) and for the processes that it starts. Returns self."""
        os.environ.update(self.process_environment())
        return self


LOCAL_DEFAULTS: Mapping[str, str] = {
    "DATA_PLATFORM_RUNS_ON": "process",
    "DATA_PLATFORM_MAX_RUNS": "4",
    "DATA_PLATFORM_MAX_LANDING_RUNS": "3",
    "DATA_PLATFORM_LAKE_BUCKET": "data-platform-lake",
    "DATA_PLATFORM_LANDING_BUCKET": "data-platform-landing",
    "SNOWFLAKE_ACCOUNT": "local",
    "SNOWFLAKE_USER": "DATA_PLATFORM",
    "SNOWFLAKE_ROLE": "DATA_PLATFORM_LOADER",
    "SNOWFLAKE_WAREHOUSE": "DATA_PLATFORM",
    "SNOWFLAKE_DATABASE": "DATA_PLATFORM",
    "SNOWFLAKE_PRIVATE_KEY_PATH": ".local/keys/snowflake.p8",
}
"""The values in `local` of unset variables, so that definitions load before the local cloud is up."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once. Raises SettingsError."""
    merged: dict[str, str] = {}
    for layer in reversed(layers()):
        merged.update(layer.values)
    return Settings.from_environment(merged)


class Layer(NamedTuple):
    """One place that sets variables: its name in messages, and its values."""

    name: str
    values: Mapping[str, str]


def layers() -> list[Layer]:
    """Where this process's settings come from, strongest first."""
    found = [Layer("environment", dict(os.environ)), Layer(".env", _dotenv(Path(".env")))]
    above = {**found[1].values, **found[0].values}
    if above.get("DATA_PLATFORM_ENVIRONMENT", "local") == "local":
        cloud = Path(above.get("DATA_PLATFORM_STATE_DIR", ".local")) / "cloud.env"
        found += [Layer(str(cloud), _dotenv(cloud)), Layer("default of local", LOCAL_DEFAULTS)]
    return found


def whole_environment(given: Settings) -> dict[str, str]:
    """All of this process's variables, with these settings: for children that replace it, which also need variables
    that aren't settings (a proxy, Dagster's own)."""
    return {**os.environ, **given.process_environment()}


def each_setting(group: Settings) -> Iterator[tuple[str, str, Any, bool]]:
    """(variable, description, value, whether it is secret) for every setting there is."""
    for variable, field, value in fields_of(group):
        yield variable, str(field.description), value, "SecretStr" in str(field.annotation)


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


_GROUPS = ("aws", "snowflake", "sftp", "ecs", "code", "dbt_code")


def _known() -> dict[str, Any]:
    """Every field by its variable."""
    groups = (Settings, AwsSettings, SnowflakeSettings, SftpSettings, EcsSettings, CodeSettings, DbtCodeSettings)
    return {str(field.alias): field for group in groups for field in group.model_fields.values()}
