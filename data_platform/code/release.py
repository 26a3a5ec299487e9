"""A release: the commits that a backend serves, and the environment of its processes and runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_platform.code.git import Remote
from data_platform.code.tree import environment_of

_OWN_SECRETS = ("DATA_PLATFORM_CODE_TOKEN", "DATA_PLATFORM_DBT_TOKEN", "DATA_PLATFORM_CODE_WEBHOOK_SECRET")
CONTEXT = "DAGSTER_CONTAINER_CONTEXT"
DAGSTER_VARIABLES = {
    # Dagster warns of its own beta features with hundreds of lines per log.
    "PYTHONWARNINGS": "ignore",
    # The automation tick misses an event that is being stored while it looks, and models don't follow it (seen in
    # 1.13.27). With this the tick waits so many seconds first.
    "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "2",
}
"""The variables of Dagster's own processes, wherever they are started."""


@dataclass(frozen=True)
class Release:
    """The commit of the code, None for the installed code; and of the dbt project, None if it is part of the code."""

    code: str | None
    dbt: str | None = None

    def __str__(self) -> str:
        code = self.code[:12] if self.code else "installed code"
        return f"{code}, dbt {self.dbt[:12]}" if self.dbt else code


def backend_environment(
    inherited: Mapping[str, str],
    tree: Path,
    release: Release,
    code: Remote | None,
    dbt: Remote | None = None,
    dbt_project: Path | None = None,
) -> dict[str, str]:
    """The environment of a release's processes: the code server's own, without the secrets that only it needs, and with
    the release and its container context."""
    told: dict[str, str] = {}
    if code is not None and release.code:
        told |= {"DATA_PLATFORM_CODE_URL": code.url, "DATA_PLATFORM_CODE_COMMIT": release.code}
    if dbt is not None and release.dbt:
        told |= {"DATA_PLATFORM_DBT_URL": dbt.url, "DATA_PLATFORM_DBT_REF": dbt.ref}
        told |= {"DATA_PLATFORM_DBT_COMMIT": release.dbt}
    wanted = {name: value for name, value in environment_of(tree, inherited).items() if name not in _OWN_SECRETS}
    if told:
        wanted[CONTEXT] = container_context(inherited.get(CONTEXT), told)
    if dbt_project is not None:
        told = told | {
            "DATA_PLATFORM_DBT_PROJECT_DIR": str(dbt_project)
        }  # not in the container context: a task finds its own
    return DAGSTER_VARIABLES | wanted | told


def container_context(base: str | None, told: Mapping[str, str]) -> str:
    """Dagster's container context as JSON, with the release among the variables of ECS tasks. Dagster records it with a
    run when it creates the run, so a queued run keeps its release; a retry is a new run. Raises ValueError if `base` is
    no JSON object."""
    context: Any = json.loads(base) if base and base.strip() else {}
    if not isinstance(context, dict) or not isinstance(context.setdefault("ecs", {}), dict):
        raise ValueError(f'{CONTEXT} is not valid: expected for example {{"ecs": {{"env_vars": []}}}}')
    kept = [one for one in context["ecs"].get("env_vars", ()) if one.partition("=")[0] not in told]
    context["ecs"]["env_vars"] = kept + [f"{name}={value}" for name, value in told.items()]
    return json.dumps(context)
