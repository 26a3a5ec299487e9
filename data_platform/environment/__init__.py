"""The platform's settings, and the only place that reads the process environment. Nothing is read at import.

Values come from, strongest first: the process environment, `.env`, and in `local` only the file that the local cloud
writes (`<state dir>/cloud.env`) and the defaults of `local`. pydantic-settings isn't used: its import takes 40 ms of
CPU, it reports wrong values one group at a time, and it doesn't say which place a value comes from.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import ValidationError

from data_platform.environment.base import InLocal
from data_platform.environment.connections import DATABASE, System, unusable
from data_platform.environment.groups import EnvironmentName as EnvironmentName
from data_platform.environment.groups import (
    PlatformSettings,
    declared,
    fields_of,
    groups_in,
    named_fields,
    text_of,
)
from data_platform.environment.groups import RunsOn as RunsOn
from data_platform.environment.rules import contradictions, endpoints, explain
from data_platform.environment.snowflake import DbtUser, ReaderUser, SnowflakeSettings, SnowflakeUser


class SettingsError(Exception):
    """The environment is incomplete or wrong; the message names each variable, what it takes, and an example."""


class Settings(PlatformSettings):
    """All differences between a laptop, a development account and production. Immutable."""

    @property
    def zone(self) -> ZoneInfo:
        """The city's time zone."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Reads and checks all settings; raises SettingsError naming every wrong variable at once."""
        given = {name: value for name, value in env.items() if value != ""}
        if _is_local(given):
            given = {**LOCAL_DEFAULTS, **given}
            for user in (SnowflakeSettings, DbtUser, ReaderUser):
                if user.variable("private_key") in given:  # set by hand, where the path comes from the local cloud
                    given.pop(user.variable("private_key_path"), None)
        try:
            named = {field: _named(given, prefix) for field, prefix in named_fields(cls).items()}
            loaded = cls.model_validate({**given, **named, **dict.fromkeys(groups_in(cls), given)})
        except ValidationError as error:
            raise SettingsError(explain(error, declared(cls))) from None
        problems = list(contradictions(loaded))
        if problems:
            raise SettingsError("The settings are wrong.\n" + "\n".join(f"  {line}" for line in problems))
        return loaded

    def as_dbt(self) -> Settings:
        """These settings, with dbt's user, role and key as Snowflake's."""
        return self._signed_in_as(self.snowflake_dbt)

    def as_reader(self) -> Settings:
        """These settings, with the reader's user, role and key as Snowflake's."""
        return self._signed_in_as(self.snowflake_reader)

    def _signed_in_as(self, user: SnowflakeUser) -> Settings:
        return self.model_copy(update={"snowflake": self.snowflake.model_copy(update=dict(user))})

    def connection(self, name: str, reader: str, system: System = DATABASE) -> str:
        """The URL of a system by the connection's name; `reader` is who needs it. Raises SettingsError."""
        given = self.connections.get(name)
        url = given.get_secret_value() if given else None
        wrong = unusable(name, url, reader, system, self.environment)
        if url is None or wrong is not None:
            raise SettingsError(str(wrong))
        return url

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
        # boto3 reads the region from this variable only, and Dagster's run launcher creates boto3 clients without one.
        given = {"AWS_DEFAULT_REGION": self.aws.region}
        return given | {name: text_of(value) for name, _, value in fields_of(self) if value is not None}

    def adopt(self) -> Settings:
        """Puts the settings into this process's environment, for libraries that look nowhere else (Dagster's
        instance, dbt) and for the processes that it starts. Returns self."""
        os.environ.update(self.process_environment())
        return self


LOCAL_DEFAULTS: dict[str, str] = {
    variable: mark.default
    for variable, field in declared(Settings).items()
    for mark in field.metadata
    if isinstance(mark, InLocal)
}
"""The values of unset variables in `local`."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once. Raises SettingsError."""
    return Settings.from_environment(ChainMap(*(layer.values for layer in layers())))


class Layer(NamedTuple):
    """One place that sets variables: its name in messages, and its values."""

    name: str
    values: dict[str, str]


def layers() -> list[Layer]:
    """Where this process's settings come from, strongest first."""
    found = [Layer("environment", dict(os.environ)), Layer(".env", _dotenv(Path(".env")))]
    above = ChainMap(*(layer.values for layer in found))
    if _is_local(above):
        cloud = Path(above.get("DATA_PLATFORM_STATE_DIR") or ".local") / "cloud.env"
        found += [Layer(str(cloud), _dotenv(cloud)), Layer("default of local", LOCAL_DEFAULTS)]
    return found


def whole_environment(given: Settings) -> dict[str, str]:
    """All of this process's variables, with these settings: for programs that this process replaces itself with, which
    also need variables that aren't settings (a proxy, Dagster's own)."""
    return {**os.environ, **given.process_environment()}


def each_setting(group: Settings) -> Iterator[tuple[str, str, Any, bool]]:
    """(variable, description, value, whether it is secret) for every setting."""
    for variable, field, value in fields_of(group):
        yield variable, str(field.description), value, "SecretStr" in str(field.annotation)


def _named(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The values of the variables with that prefix, by the rest of their names in lower case."""
    return {name.removeprefix(prefix).lower(): value for name, value in given.items() if name.startswith(prefix)}


def _is_local(values: Mapping[str, str]) -> bool:
    return (values.get("DATA_PLATFORM_ENVIRONMENT") or "local") == "local"


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
