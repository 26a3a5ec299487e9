"""dbt as a resource: the project's folder, and starting dbt processes. The assets choose the dbt command."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliInvocation, DbtCliResource
from dagster_dbt.asset_utils import (
    extract_runtime_selection_from_args,
    get_updated_cli_invocation_params_for_context,
)
from dagster_dbt.dagster_dbt_translator import DagsterDbtTranslator
from packaging.version import Version

from data_platform.environment import settings
from data_platform.transform.ahead import take
from data_platform.transform.process import artifacts_dir, dbt_command, dbt_environment, prune_artifacts, reuse_parse
from data_platform.warehouse.connection import require_key


class DbtCli(DbtCliResource):
    """dagster-dbt's resource, with two changes. dbt gets only the variables that it needs, where dagster-dbt passes on
    all of this process's, including AWS keys and the password of Dagster's database. And each dbt process writes its
    artifacts to a folder of its own below the state folder."""

    def cli(
        self,
        args: Sequence[str],
        *,
        raise_on_error: bool = True,
        manifest: Any = None,
        dagster_dbt_translator: DagsterDbtTranslator | None = None,
        context: dg.OpExecutionContext | dg.AssetExecutionContext | None = None,
        target_path: Path | None = None,
    ) -> DbtCliInvocation:
        """Starts `dbt <args>` for the assets that `context` selects. dagster-dbt documents the arguments."""
        own_args, selects, excludes = extract_runtime_selection_from_args(args)
        invocation = get_updated_cli_invocation_params_for_context(
            context=context,
            manifest=manifest or {},
            dagster_dbt_translator=dagster_dbt_translator or DagsterDbtTranslator(),
            runtime_selects=selects,
            runtime_excludes=excludes,
        )
        # For a very large selection, dagster-dbt copies the project and writes a selector into the copy.
        project_dir = Path(getattr(invocation.dbt_project, "project_dir", self.project_dir)).absolute()
        target = target_path or self._artifacts(context, project_dir)
        wanted = settings().require_endpoints()
        require_key(wanted.snowflake_dbt)
        env = dbt_environment(wanted, project_dir, target)
        env |= {"DBT_LOG_FORMAT": "json", "DAGSTER_DBT_CLI": "true"}
        # Runs a test of several models only if each of them is selected or upstream of a selected one. dbt's default
        # would also compare the models of this run with models that are not rebuilt yet.
        env["DBT_INDIRECT_SELECTION"] = invocation.indirect_selection or "buildable"
        if context is not None:
            env["DBT_ENV_CUSTOM_ENV_DAGSTER_RUN_ID"] = context.run_id  # the query comment shows it
        arguments = [*self.global_config_flags, *own_args, *invocation.selection_args]
        common: dict[str, Any] = {
            "manifest": invocation.manifest,
            "dagster_dbt_translator": invocation.dagster_dbt_translator,
            "project_dir": project_dir,
            "target_path": target,
            "raise_on_error": raise_on_error,
            "context": context,
            "adapter": None,  # `automation/dbt_events.py` reads columns and counts rows
            "cli_version": Version(version("dbt-core")),
        }
        if process := take(project_dir, arguments, env):
            return DbtCliInvocation(process=process, project=invocation.dbt_project, **common)
        return DbtCliInvocation.run(args=dbt_command(*arguments), env=env, dbt_project=invocation.dbt_project, **common)

    def _artifacts(self, context: dg.OpExecutionContext | dg.AssetExecutionContext | None, project_dir: Path) -> Path:
        folder = artifacts_dir(settings())
        prune_artifacts(folder)
        name = f"{context.op_execution_context.op.name}-{context.run_id[:8]}" if context else "dbt"
        target = folder / f"{name}-{uuid.uuid4().hex[:8]}"
        reuse_parse(folder, target, project_dir)
        return target


@cache
def dbt_resource(project_dir: Path) -> DbtCli:
    """The resource for a project, with the dbt installed beside this Python. Returns the same object for the same
    project, so that Dagster can merge two definitions that both have it."""
    return DbtCli(
        project_dir=str(project_dir),
        profiles_dir=str(project_dir),
        dbt_executable=str(Path(sys.executable).with_name("dbt")),
    )
