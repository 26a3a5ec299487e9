"""The models of a dbt project."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import dagster as dg
from pydantic import BaseModel, ConfigDict

from data_platform.environment import settings
from data_platform.resources import WarehouseResource
from data_platform.runs.sizes import Compute

# Unit tests prove the SQL before it is merged; they say nothing of the data.
BUILD = ("build", "--exclude-resource-type", "unit_test")


class DbtModelsAttributes(BaseModel):
    """The attributes of a DbtModels' `defs.yaml`. `project` is the project's folder, seen from the file's; `select` and
    `exclude` say which models, as dbt selects; `compute` what a run that builds some needs as a Fargate task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    select: str = "fqn:*"
    exclude: str = ""
    compute: Compute = Compute()


@dataclass
class DbtModels(dg.Component):
    """The models and snapshots of a dbt project as assets `<folder>/<model>`, its tests as checks, and checks of the
    freshness of what it reads.

    One step builds what is selected with `dbt build`, so a model waits for its parents' tests, and a test of severity
    `error` keeps everything that follows from being built. Models follow the raw tables on their own
    (`automation/conditions.py`). Owners stand in a model's `config.meta.dagster.owners`. Where the project has a
    repository of its own (DATA_PLATFORM_DBT_URL), its checkout takes the place of `project`.

    ```yaml
    type: data_platform.components.DbtModels
    attributes:
      project: ../../../dbt_project
      exclude: tag:draft
      compute: {cpu: 1024, memory: 4096}
    ```
    """

    attributes: DbtModelsAttributes

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The attributes' schema, which `dg check yaml` holds a `defs.yaml` against."""
        return DbtModelsAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "DbtModels":
        """Takes the attributes as they stand."""
        return cls(cast(DbtModelsAttributes, attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets and checks, and the resource `dbt` of the project. Raises ManifestUnusable in `dev` and `prod`
        where the manifest wasn't built."""
        # dagster-dbt imports dbt, more than a second, which a code location without models does without.
        from dagster_dbt import DbtProject, dbt_assets

        from data_platform.automation.dbt_events import events_of
        from data_platform.automation.freshness import freshness_checks
        from data_platform.components.dbt_translator import ModelTranslator, with_usage
        from data_platform.resources.dbt import DbtCli, dbt_resource
        from data_platform.transform.manifest import load_manifest

        project_dir = settings().dbt_code.project_dir or (context.path / self.attributes.project).resolve()
        manifest = load_manifest(project_dir, settings())

        @dbt_assets(
            name="dbt_models",
            pool="dbt",  # two builds of the same models at a time would be in each other's way
            manifest=manifest,
            project=DbtProject(project_dir),
            select=self.attributes.select,
            exclude=self.attributes.exclude or None,
            dagster_dbt_translator=ModelTranslator(settings().repository_url, self.attributes.compute),
        )
        def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCli, warehouse: WarehouseResource) -> Iterator[Any]:
            connect = partial(warehouse.open, query_tag=f"dagster run={context.run_id} dbt columns and rows")
            yield from with_usage(events_of(dbt.cli(BUILD, context=context), context.log, connect))

        return dg.Definitions(
            assets=[dbt_models],
            asset_checks=[freshness_checks(manifest)],
            resources={"dbt": dbt_resource(project_dir)},
        )
