"""A publication as an asset: which mart it follows, and what its runs do and report."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.automation.check_results import latest_results
from data_platform.automation.conditions import follows_its_tables
from data_platform.environment import settings
from data_platform.environment.connections import CARTO
from data_platform.publish.spec import CartoPublication, Dataset
from data_platform.resources import LakeResource, WarehouseResource

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake
    from data_platform.publish.publish import Result
    from data_platform.publish.target import Target

PREFIX = "publication"
JOB = "publications"
_KINDS = {"carto": {"carto", "map"}, "files": {"s3", "open_data"}}


def publication_key(dataset: Dataset) -> dg.AssetKey:
    """`publication/<target>/<dataset>`."""
    return dg.AssetKey([PREFIX, dataset.target, dataset.name])


def publications_job() -> Any:
    """The job that publishes every dataset of this environment. It has no schedule: publications follow their marts."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.key_prefixes([PREFIX]),
        description="Publishes every dataset whose mart is new and has passed its checks.",
    )


def publication_definitions(dataset: Dataset) -> dg.Definitions:
    """The dataset's asset. It exists in an environment where an `automation.yaml` lists it."""
    given = dataset.publication
    mart = dg.AssetKey(given.from_.split("/"))

    @dg.asset(
        key=publication_key(dataset),
        deps=[mart],
        description=given.description,
        group_name="publications",
        owners=list(given.owners),
        kinds=_KINDS[dataset.target],
        tags={"source": given.from_.replace("/", "."), "target": dataset.target},
        pool=pool_of(dataset),
        automation_condition=follows_its_tables(),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=given.fresh_within_hours)),
        required_resource_keys={"lake", "warehouse"},
    )
    def publication(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from data_platform.publish.publish import publish  # pyarrow, which loading definitions doesn't need

        _require_passed(context, mart)
        warehouse: WarehouseResource = context.resources.warehouse
        lake: LakeResource = context.resources.lake
        database, tag = settings().snowflake.database, f"dagster run={context.run_id} publication {dataset.id}"
        told = _descriptions(context, mart)
        with (
            open_target(dataset, lake.lake(), context.log.info, told) as target,
            warehouse.open(query_tag=tag) as connection,
        ):
            result = publish(connection, database, dataset, target, run_id=context.run_id)
            return dg.MaterializeResult(metadata=metadata_of(result, target.url))

    return dg.Definitions(assets=[publication])


def pool_of(dataset: Dataset) -> str:
    """One run at a time works on what has a limit together: an account of CARTO, or a dataset's files."""
    given = dataset.publication
    return f"carto_{given.connection}" if isinstance(given, CartoPublication) else f"files_{dataset.name}"


@contextmanager
def open_target(
    dataset: Dataset, lake: "Lake", tell: Callable[[str], None], described: Mapping[str, str] | None = None
) -> Iterator["Target"]:
    """Where the dataset is published. `described`: its columns. Raises SettingsError if its connection isn't set."""
    given = dataset.publication
    if isinstance(given, CartoPublication):
        from data_platform.publish.carto.client import CartoClient
        from data_platform.publish.carto.target import CartoTarget

        client = CartoClient(settings().connection(given.connection, f"publication/{dataset.id}", CARTO))
        try:
            yield CartoTarget(client, dataset.name, given, progress=tell)
        finally:
            client.close()
        return
    from data_platform.publish.files.target import FilesTarget

    yield FilesTarget(lake.store, dataset.name, given, descriptions=described, progress=tell)


def metadata_of(result: "Result", url: str) -> dict[str, Any]:
    """What a materialization shows: counts, version, receipt, and a map."""
    stamp, before = result.stamp, result.rows_before
    shown: dict[str, Any] = {
        "outcome": result.outcome,
        "rows": stamp.rows,
        "version": stamp.version,
        "fingerprint": stamp.fingerprint,
        "published at": dg.MetadataValue.timestamp(datetime.fromisoformat(stamp.published_at)),
        "url": dg.MetadataValue.url(url),
        "snowflake query": stamp.query_id,
    }
    if before and result.outcome == "published":
        shown |= {"rows before": before, "change in percent": round(100 * (stamp.rows - before) / before, 2)}
    if result.map is not None:
        encoded = base64.b64encode(result.map.encode()).decode()
        shown["map"] = dg.MetadataValue.md(f"![map](data:image/svg+xml;base64,{encoded})")
    return shown


def _require_passed(context: dg.AssetExecutionContext, mart: dg.AssetKey) -> None:
    """Raises dg.Failure unless the mart's blocking checks have passed: a run that a person starts has no condition."""
    graph = context.job_def.asset_layer.asset_graph
    for key in sorted(graph.get_check_keys_for_assets({mart})):
        if not graph.get(key).blocking:
            continue
        results = latest_results(context.instance, key)
        if not results or not results[0].evaluation.passed:
            why = "has failed" if results else "has not been evaluated"
            raise dg.Failure(
                f"{mart.to_user_string()}: its check {key.name} {why}, so nothing is published; the published version"
                " is as it was. Mend the mart, or run its checks",
                allow_retries=False,
            )


def _descriptions(context: dg.AssetExecutionContext, mart: dg.AssetKey) -> dict[str, str]:
    """The mart's columns, as its asset describes them."""
    graph = context.job_def.asset_layer.asset_graph
    found = graph.get(mart).metadata.get("dagster/column_schema") if graph.has(mart) else None
    schema = getattr(found, "value", found)
    columns = schema.columns if isinstance(schema, dg.TableSchema) else []
    return {column.name.lower(): " ".join((column.description or "").split()) for column in columns}
