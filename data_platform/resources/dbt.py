"""dbt as a resource: where the project is and how a dbt process is started. What it is told to do is the asset's."""

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
from data_platform.transform.process import artifacts_dir, dbt_command, dbt_environment, prune_artifacts, reuse_parse


class DbtCli(DbtCliResource):
    """dagster-dbt's resource, but for what a process inherits: dagster-dbt hands dbt all of this process's variables,
    the keys of AWS and Dagster's database among them; here dbt sees what it needs. Artifacts go to a folder a run
    below the state folder."""

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
        """Starts `dbt <args>` for the assets that `context` selects. Arguments as dagster-dbt documents them."""
        own_args, selects, excludes = extract_runtime_selection_from_args(args)
        invocation = get_updated_cli_invocation_params_for_context(
            context=context,
            manifest=manifest or {},
            dagster_dbt_translator=dagster_dbt_translator or DagsterDbtTranslator(),
            runtime_selects=selects,
            runtime_excludes=excludes,
        )
        # dagster-dbt makes a copy of the project to name a very large selection in.
        project_dir = Path(getattr(invocation.dbt_project, "project_dir", self.project_dir)).absolute()
        target = target_path or self._artifacts(context)
        env = dbt_environment(settings().require_endpoints(), project_dir, target)
        env |= {"DBT_LOG_FORMAT": "json", "DAGSTER_DBT_CLI": "true"}
        # A test of several models is run when all it reads is selected or was there before: dbt's default would hold
        # the models that are built against those that aren't yet.
        env["DBT_INDIRECT_SELECTION"] = invocation.indirect_selection or "buildable"
        if context is not None:
            env["DBT_ENV_CUSTOM_ENV_DAGSTER_RUN_ID"] = context.run_id  # the query comment shows it
        return DbtCliInvocation.run(
            args=dbt_command(*self.global_config_flags, *own_args, *invocation.selection_args),
            env=env,
            manifest=invocation.manifest,
            dagster_dbt_translator=invocation.dagster_dbt_translator,
            project_dir=project_dir,
            target_path=target,
            raise_on_error=raise_on_error,
            context=context,
            adapter=None,  # `automation/dbt_events.py` reads columns and counts rows
            cli_version=Version(version("dbt-core")),
            dbt_project=invocation.dbt_project,
        )

    def _artifacts(self, context: dg.OpExecutionContext | dg.AssetExecutionContext | None) -> Path:
        folder = artifacts_dir(settings())
        prune_artifacts(folder)
        name = f"{context.op_execution_context.op.name}-{context.run_id[:8]}" if context else "dbt"
        target = folder / f"{name}-{uuid.uuid4().hex[:8]}"
        reuse_parse(folder, target)
        return target


@cache
def dbt_resource(project_dir: Path) -> DbtCli:
    """The resource for a project, with the dbt that is installed beside this Python. The same object for the same
    project, so that definitions which both bring it can be merged."""
    return DbtCli(
        project_dir=str(project_dir),
        profiles_dir=str(project_dir),
        dbt_executable=str(Path(sys.executable).with_name("dbt")),
    )
