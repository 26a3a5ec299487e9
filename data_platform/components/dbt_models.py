"""The models of a dbt project.

Not based on dagster-dbt's `DbtProjectComponent`: a subclass would import dbt wherever components are listed or checked,
and it prepares projects with a dbt process that inherits every variable, secrets included.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import dagster as dg
from pydantic import BaseModel, ConfigDict

from data_platform.components.feed_assets import AsDeclared
from data_platform.components.invalid import broken_definition
from data_platform.environment import settings
from data_platform.feeds.compute import Compute
from data_platform.resources import WarehouseResource

# Unit tests check the SQL before it is merged; they don't read the data.
BUILD = ("build", "--exclude-resource-type", "unit_test")


class DbtModelsAttributes(BaseModel):
    """The attributes of a DbtModels' `defs.yaml`. `project`: the project's folder, relative to the file's. `select` and
    `exclude`: which models, in dbt's selection syntax. `compute`: the size of a Fargate task that builds models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    select: str = "fqn:*"
    exclude: str = ""
    compute: Compute = Compute()


@dataclass
class DbtModels(dg.Component):
    """The models and snapshots of a dbt project as assets `<folder>/<model>`, its tests as checks, and freshness checks
    of the tables that it reads.

    One step builds the selected models with `dbt build`: a model waits for its parents' tests, and a failed test of
    severity `error` stops everything downstream. Models follow the raw tables without a schedule
    (`automation/conditions.py`). Set a model's owners in its `config.meta.dagster.owners`. If the project has its own
    repository (DATA_PLATFORM_DBT_URL), its checkout replaces `project`.

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
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return DbtModelsAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "DbtModels":
        """Keeps the attributes as they are, without templates."""
        return cls(cast(DbtModelsAttributes, attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets, the checks and the resource `dbt`. If the project can't be parsed, or (in `dev` and `prod`) its
        manifest wasn't built, one invalid asset that shows why: files are landed without models too."""
        # dagster-dbt imports dbt, which takes more than a second; a code location without models doesn't pay it.
        from dagster_dbt import DbtProject, dbt_assets

        from data_platform.automation.dbt_events import events_of
        from data_platform.automation.freshness import freshness_checks
        from data_platform.components.dbt_translator import ModelTranslator, with_usage
        from data_platform.resources.dbt import DbtCli, dbt_resource
        from data_platform.transform.manifest import ManifestUnusable, load_manifest

        project_dir = settings().dbt_code.project_dir or (context.path / self.attributes.project).resolve()
        try:
            manifest = load_manifest(project_dir, settings())
        except ManifestUnusable as error:
            return dg.Definitions(assets=[broken_definition(["invalid", "dbt_models"], error)])

        @dbt_assets(
            name="dbt_models",
            pool="dbt",  # two builds of the same models at a time would conflict
            manifest=manifest,
            project=DbtProject(project_dir),
            select=self.attributes.select,
            exclude=self.attributes.exclude or None,
            dagster_dbt_translator=ModelTranslator(settings().repository_url, self.attributes.compute),
        )
        def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCli, warehouse: WarehouseResource) -> Iterator[Any]:
            connect = partial(warehouse.open_as_dbt, query_tag=f"dagster run={context.run_id} dbt columns and rows")
            yield from with_usage(events_of(dbt.cli(BUILD, context=context), context.log, connect))

        return AsDeclared(
            assets=[dbt_models],
            asset_checks=[freshness_checks(manifest)],
            resources={"dbt": dbt_resource(project_dir)},
        )
