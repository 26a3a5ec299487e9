"""The connection of dbt's profile: renders `profiles.yml` with the environment of dbt's process. It doesn't import dbt,
which takes longer than signing in."""

from __future__ import annotations

from pathlib import Path

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError

from data_platform.environment import Settings
from data_platform.environment.snowflake import SnowflakeSettings
from data_platform.transform.process import artifacts_dir, dbt_environment

_REQUIRED = ("account", "user", "role", "warehouse", "database")


class ProfileUnusable(Exception):
    """dbt can't connect with profiles.yml. The message says which part of it is wrong."""


def as_dbt_connects(settings: Settings, project_dir: Path) -> Settings:
    """The settings, with the Snowflake account, user, role, names, key and endpoint of the profile and target that dbt
    would pick. Raises ProfileUnusable, and SettingsError if the profile's values are no valid settings."""
    given = dbt_environment(settings, project_dir, artifacts_dir(settings))
    file = Path(given["DBT_PROFILES_DIR"]) / "profiles.yml"

    def env_var(name: str, default: str | None = None) -> str:
        value = given.get(name, default)
        if value is None:
            raise ProfileUnusable(f"{file} needs the variable {name}, which is not set")
        return value

    jinja = Environment(undefined=StrictUndefined)  # noqa: S701  # renders no HTML
    jinja.globals["env_var"] = env_var
    jinja.filters.update(dict.fromkeys(("as_bool", "as_native", "as_number", "as_text"), str))  # dbt's own
    try:
        project = yaml.safe_load((project_dir / "dbt_project.yml").read_text(encoding="utf-8"))
        profile = yaml.safe_load(file.read_text(encoding="utf-8"))[project["profile"]]
        target = jinja.from_string(profile.get("target", "default")).render()
        output = profile["outputs"][target]
        values = {name: jinja.from_string(str(value)).render() for name, value in output.items()}
    except KeyError as error:
        raise ProfileUnusable(f"{file} has no {error}, which dbt needs here") from None
    except (OSError, yaml.YAMLError, TemplateError, AttributeError, TypeError) as error:
        raise ProfileUnusable(f"{file}: {' '.join(str(error).split())}") from None
    if missing := [name for name in _REQUIRED if not values.get(name)]:
        raise ProfileUnusable(f"{file}: the target {target} sets no {', '.join(missing)}")
    snowflake = {f"SNOWFLAKE_{name.upper()}": values.get(name, "") for name in SnowflakeSettings.model_fields}
    return Settings.from_environment({**settings.process_environment(), **snowflake})
