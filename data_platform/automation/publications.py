"""A publication as an asset: which mart it follows, and what its runs do and report."""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.automation.check_results import latest_results
from data_platform.automation.conditions import follows_its_tables
from data_platform.environment import settings
from data_platform.environment.connections import CARTO
from data_platform.publish.spec import CartoPublication, Dataset
from data_platform.publish.target import GateFailed
from data_platform.resources import LakeResource, WarehouseResource

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake
    from data_platform.publish.publish import Result
    from data_platform.publish.target import Target

PREFIX = "publication"
JOB = "publications"
GATES = "gates"
"""The check of each publication: whether the mart was fit to be published."""
_REQUIRED = "checks that must pass"
_GATES_ASK = (
    "Is the mart fit to be published: have its blocking checks passed, is the number of its rows near that of the"
    " published version, is each shape valid? Otherwise the published version stays."
)
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
        check_specs=[dg.AssetCheckSpec(GATES, asset=publication_key(dataset), description=_GATES_ASK)],
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
    def publication(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
        from data_platform.publish.publish import publish  # pyarrow, which loading definitions doesn't need

        warehouse: WarehouseResource = context.resources.warehouse
        lake: LakeResource = context.resources.lake
        database, tag = settings().snowflake.database, f"dagster run={context.run_id} publication {dataset.id}"
        try:
            _require_passed(context, mart)
            with (
                open_target(dataset, lake.lake(), context.log.info, _descriptions(context, mart)) as target,
                warehouse.open(query_tag=tag) as connection,
            ):
                result = publish(connection, database, dataset, target, run_id=context.run_id)
        except GateFailed as refused:
            yield dg.AssetCheckResult(check_name=GATES, passed=False, description=str(refused))
            raise dg.Failure(str(refused), allow_retries=False) from refused
        passed = dg.AssetCheckResult(check_name=GATES, passed=True, metadata=_change_of(result))
        yield dg.MaterializeResult(metadata=metadata_of(result, target.url), check_results=[passed])

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
    stamp = result.stamp
    shown: dict[str, Any] = {
        "outcome": result.outcome,
        "rows": stamp.rows,
        "version": stamp.version,
        "fingerprint": stamp.fingerprint,
        "published at": dg.MetadataValue.timestamp(datetime.fromisoformat(stamp.published_at)),
        "url": dg.MetadataValue.url(url),
        "snowflake query": stamp.query_id,
        **_change_of(result),
    }
    if result.map is not None:
        encoded = base64.b64encode(result.map.encode()).decode()
        shown["map"] = dg.MetadataValue.md(f"![map](data:image/svg+xml;base64,{encoded})")
    return shown


def _change_of(result: "Result") -> dict[str, Any]:
    """What the gate of the number of rows has compared."""
    stamp, before = result.stamp, result.rows_before
    if not before or result.outcome != "published":
        return {}
    return {"rows before": before, "change in percent": round(100 * (stamp.rows - before) / before, 2)}


def knowing_their_checks(assets: Iterable[Any], checks: Iterable[Any]) -> list[Any]:
    """The assets, in which the metadata of each publication lists the blocking checks of its mart. The component that
    makes it doesn't know them, nor does a run that publishes without building the mart."""
    assets = list(assets)
    blocking: dict[dg.AssetKey, list[str]] = defaultdict(list)
    for each in (*assets, *checks):
        for spec in each.check_specs if isinstance(each, dg.AssetsDefinition) else ():
            if spec.blocking:
                blocking[spec.asset_key].append(spec.name)

    def knowing(spec: dg.AssetSpec) -> dg.AssetSpec:
        names = sorted(name for dep in spec.deps for name in blocking[dep.asset_key])
        return spec.merge_attributes(metadata={_REQUIRED: names})

    return [asset.map_asset_specs(knowing) if is_publication(asset) else asset for asset in assets]


def is_publication(asset: object) -> bool:
    """Whether a definition is a publication's asset."""
    return isinstance(asset, dg.AssetsDefinition) and any(key.path[0] == PREFIX for key in asset.keys)


def _require_passed(context: dg.AssetExecutionContext, mart: dg.AssetKey) -> None:
    """Raises GateFailed unless the mart's blocking checks have passed: a run that a person starts has no condition."""
    for name in context.assets_def.metadata_by_key[context.asset_key][_REQUIRED]:
        results = latest_results(context.instance, dg.AssetCheckKey(mart, name))
        if not results or not results[0].evaluation.passed:
            why = "has failed" if results else "has not been evaluated"
            raise GateFailed(
                f"{mart.to_user_string()}: its check {name} {why}, so nothing is published; the published version is as"
                " it was. Mend the mart, or run its checks"
            )


def _descriptions(context: dg.AssetExecutionContext, mart: dg.AssetKey) -> dict[str, str]:
    """The mart's columns, as its asset describes them."""
    graph = context.job_def.asset_layer.asset_graph
    found = graph.get(mart).metadata.get("dagster/column_schema") if graph.has(mart) else None
    schema = getattr(found, "value", found)
    columns = schema.columns if isinstance(schema, dg.TableSchema) else []
    return {column.name.lower(): " ".join((column.description or "").split()) for column in columns}
