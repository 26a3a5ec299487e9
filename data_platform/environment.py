"""The platform's settings, and the only place that reads the process environment.

Values come from, strongest first: the process environment, `.env`, and the file that the local cloud writes
(`<state dir>/cloud.env`, read in `local` only). Nothing here connects to anything, and nothing is read at import.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

EnvironmentName = Literal["local", "dev", "prod"]


class SettingsError(Exception):
    """The environment is incomplete or wrong; the message names each variable, what it takes, and an example."""


class Endpoint:
    """Marks a field that says where something is reached; in `local` it must be a loopback address."""


def _known_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone")
    return value


def _absolute(value: Path | None) -> Path | None:
    return None if value is None else value.absolute()


class _Group(BaseModel):
    """A frozen group of settings whose fields' aliases are the names of environment variables."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class AwsSettings(_Group):
    """How AWS is reached. On ECS the endpoint and the keys are unset: the task role signs."""

    region: str = Field("us-east-1", alias="AWS_REGION", description="an AWS region", examples=["eu-west-1"])
    endpoint_url: Annotated[str | None, Endpoint()] = Field(
        None, alias="AWS_ENDPOINT_URL", description="an http(s) URL", examples=["http://127.0.0.1:4566"]
    )
    access_key_id: SecretStr | None = Field(None, alias="AWS_ACCESS_KEY_ID", description="an access key id")
    secret_access_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY", description="a secret access key")


class SnowflakeSettings(_Group):
    """Who signs in to Snowflake, always by key pair, and where. Host, port and protocol are for `local`."""

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


class SftpSettings(_Group):
    """Where partners sign in."""

    host: Annotated[str | None, Endpoint()] = Field(
        None, alias="SFTP_HOST", description="a host name", examples=["sftp.example.org"]
    )
    port: int = Field(22, alias="SFTP_PORT", description="a port", examples=["22"], ge=1, le=65535)


class Settings(_Group):
    """Everything that differs between a laptop, a development account and production. Immutable."""

    environment: EnvironmentName = Field(
        "local", alias="DATA_PLATFORM_ENVIRONMENT", description="local, dev or prod", examples=["dev"]
    )
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = Field(
        "America/New_York",
        alias="DATA_PLATFORM_TIME_ZONE",
        description="an IANA time zone, in which schedules and days are meant",
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
    aws: AwsSettings
    snowflake: SnowflakeSettings
    sftp: SftpSettings

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
            loaded = cls.model_validate({**given, "aws": given, "snowflake": given, "sftp": given})
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        problems = list(_contradictions(loaded))
        if problems:
            raise SettingsError("The settings are wrong.\n" + "\n".join(f"  {line}" for line in problems))
        return loaded

    def require_endpoints(self) -> Settings:
        """Returns self where connections may be made; in `local` every endpoint must be known (fails closed:
        a missing endpoint would otherwise mean the real AWS or Snowflake). Raises SettingsError."""
        if self.environment == "local":
            missing = [name for name, value in _endpoints(self) if value is None]
            if missing:
                raise SettingsError(
                    f"The local cloud is not up: {', '.join(missing)} unset. Run `data-platform up`, which writes"
                    f" {self.state_dir / 'cloud.env'}."
                )
        return self

    def process_environment(self) -> dict[str, str]:
        """The variables that a child process (dbt, a Dagster code server) needs to see the same settings. Paths
        are absolute: a child may work in another folder."""
        return {name: _text(value) for name, value in _variables(self) if value is not None}

    def adopt(self) -> Settings:
        """Puts the settings into this process's environment, for libraries that look nowhere else (Dagster's
        instance, dbt) and for the processes that it starts. Returns self."""
        os.environ.update(self.process_environment())
        return self


LOCAL_DEFAULTS: Mapping[str, str] = {
    "DATA_PLATFORM_LAKE_BUCKET": "port-meridian-lake",
    "DATA_PLATFORM_LANDING_BUCKET": "port-meridian-landing",
    "SNOWFLAKE_ACCOUNT": "local",
    "SNOWFLAKE_USER": "DATA_PLATFORM",
    "SNOWFLAKE_ROLE": "DATA_PLATFORM_LOADER",
    "SNOWFLAKE_WAREHOUSE": "DATA_PLATFORM",
    "SNOWFLAKE_DATABASE": "DATA_PLATFORM",
    "SNOWFLAKE_PRIVATE_KEY_PATH": ".local/keys/snowflake.p8",
}
"""What `local` takes when a variable is unset, so that definitions load before the local cloud is up."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once. Raises SettingsError."""
    merged: dict[str, str] = {}
    for layer in reversed(layers()):
        merged.update(layer.values)
    return Settings.from_environment(merged)


class Layer(NamedTuple):
    """One place where variables are set: its name, as messages call it, and what it sets."""

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


def machine_environment() -> dict[str, str]:
    """The variables that any program needs of its machine: where programs, homes and certificates are, its
    language and its proxies. A child that is given these, and not all, inherits no secret by accident."""
    return {name: value for name, value in os.environ.items() if name.upper() in _MACHINE}


_MACHINE = frozenset(
    (
        *("PATH", "HOME", "USER", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    )
)


def each_setting(group: Settings) -> Iterator[tuple[str, str, Any, bool]]:
    """(variable, description, value, whether it is secret) for every setting there is."""
    for variable, field, value in _fields(group):
        yield variable, str(field.description), value, "SecretStr" in str(field.annotation)


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value.absolute() if isinstance(value, Path) else value)


def _fields(group: _Group) -> Iterator[tuple[str, Any, Any]]:
    """(variable, field, value) for each setting of a group and the groups within it."""
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, _Group):
            yield from _fields(value)
        else:
            yield str(field.alias), field, value


def _variables(loaded: Settings) -> Iterator[tuple[str, Any]]:
    return ((variable, value) for variable, _, value in _fields(loaded))


def _endpoints(loaded: Settings) -> Iterator[tuple[str, str | None]]:
    """(variable, text) for each field marked as an Endpoint."""
    for variable, field, value in _fields(loaded):
        if any(isinstance(mark, Endpoint) for mark in field.metadata):
            yield variable, value.get_secret_value() if isinstance(value, SecretStr) else value


def _contradictions(loaded: Settings) -> Iterator[str]:
    """Rules over several values: loopback only in `local`, one private key, TLS outside `local`."""
    if loaded.environment == "local":
        for variable, value in _endpoints(loaded):
            if value is not None and not _is_loopback(value):
                yield (
                    f"{variable} is not a loopback address, and `local` may reach nothing else. Expected for"
                    " example 127.0.0.1; to reach a real account set DATA_PLATFORM_ENVIRONMENT=dev."
                )
        return
    sources = [loaded.snowflake.private_key, loaded.snowflake.private_key_path]
    if sum(source is not None for source in sources) != 1:
        yield (
            "SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PRIVATE_KEY_PATH: expected exactly one of them, as"
            f" {loaded.environment} signs in by key pair, for example SNOWFLAKE_PRIVATE_KEY_PATH=/run/key.p8"
        )
    if loaded.snowflake.protocol != "https":
        yield f"SNOWFLAKE_PROTOCOL must be https in {loaded.environment}, for example https"


def _is_loopback(endpoint: str) -> bool:
    """Whether a URL or host names this machine only: localhost, 127.0.0.0/8 or ::1, or a socket without host."""
    if "://" in endpoint:
        parts = urlsplit(endpoint)
        host = parts.hostname
        if host is None:  # a PostgreSQL URL over a UNIX socket has no host; any other URL must have one
            return parts.scheme.startswith("postgres") and "host=/" in parts.query.replace("%2F", "/")
        if "host" in {name.split("=")[0] for name in parts.query.split("&")}:  # libpq: ?host= overrides
            return False
    else:
        host = endpoint.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _explain(error: ValidationError) -> str:
    known = {
        str(field.alias): field
        for group in (Settings, AwsSettings, SnowflakeSettings, SftpSettings)
        for field in group.model_fields.values()
    }
    lines = []
    for item in error.errors():
        variable = str(item["loc"][-1])
        field = known[variable]
        example = f", for example {variable}={field.examples[0]}" if field.examples else ""
        problem = "is missing" if item["type"] == "missing" else f"is wrong ({item['msg']})"
        lines.append(f"  {variable} {problem}: expected {field.description}{example}")
    return "The settings are incomplete or wrong.\n" + "\n".join(lines)
