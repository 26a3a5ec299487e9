"""Dagster's instance configuration: fills the settings into the template `deploy/dagster.yaml`.

The same template serves AWS, compose and the local cloud. Where runs aren't ECS tasks, the launcher is left out, and
where nobody changes the database's password, the secret.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from data_platform.environment import Settings, SettingsError, settings
from data_platform.environment.groups import fields_of

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy" / "dagster.yaml"
_WHOLE = re.compile(r"\$\{(\w+)\}")


def render(template: str, given: Settings) -> str:
    """Returns the text of `dagster.yaml`. A `${VARIABLE}` that is a whole value becomes the setting with its type (a
    number, a list); one within a text becomes text. Raises SettingsError with every missing setting and an example of
    each."""
    document = yaml.safe_load(template)
    if given.dagster_postgres_secret_arn is None:
        del document["storage"]["custom"]["config"]["password_secret"]
    if given.runs_on != "ecs":
        del document["run_launcher"]
        if given.logs_bucket is None:
            del document["compute_logs"]
    values = {variable: (field, value) for variable, field, value in fields_of(given)}
    missing: dict[str, str] = {}

    def setting(variable: str) -> Any:
        field, value = values[variable]
        if value is None or value == ():
            missing[variable] = f"{field.description}, for example {variable}={(field.examples or ['...'])[0]}"
        return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value

    filled = _filled(document, setting)
    if missing:
        lines = "".join(f"\n  {variable} is missing: expected {what}" for variable, what in missing.items())
        raise SettingsError(f"To run as Fargate tasks (DATA_PLATFORM_RUNS_ON=ecs), runs need more settings.{lines}")
    return yaml.safe_dump(filled, sort_keys=False, width=120)


def write(home: Path, given: Settings | None = None) -> Path:
    """Renders the template to `home`/dagster.yaml, and returns the file. Replaces the file atomically: a process that
    reads it meanwhile sees the old text or the new. Raises SettingsError."""
    text = "# Generated from deploy/dagster.yaml and the settings; changes are overwritten.\n"
    text += render(TEMPLATE.read_text(encoding="utf-8"), given or settings())
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=home, prefix=".dagster.yaml.", delete=False) as aside:
        aside.write(text)
    return Path(aside.name).replace(home / "dagster.yaml")


def _filled(node: Any, setting: Callable[[str], Any]) -> Any:
    if isinstance(node, Mapping):
        return {key: _filled(value, setting) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, setting) for value in node]
    if isinstance(node, str):
        if whole := _WHOLE.fullmatch(node):
            return setting(whole[1])
        return _WHOLE.sub(lambda found: str(setting(found[1])), node)
    return node
