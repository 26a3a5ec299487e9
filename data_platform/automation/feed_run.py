"""The body of a feed's step, whatever its source: ingests, and reports materializations and check results to Dagster.

The work itself is in `extract.ingest`. Feeds run in parallel threads. If some fail, the others are still materialized;
then the step fails and names the failed feeds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from data_platform.automation.catalog_check import catalog_check_result
from data_platform.automation.check_results import report_if_overtaken
from data_platform.automation.feed_checks import feed_check_results
from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.environment import settings
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.preview import preview
from data_platform.landing.ledger import MIGRATIONS
from data_platform.resources import WarehouseResource
from data_platform.runs.usage import usage_metadata
from data_platform.warehouse.migrations import require_current

if TYPE_CHECKING:
    from data_platform.extract.ingest import Ingested, Ingestion
    from data_platform.extract.source import Source
    from data_platform.lake.extracts import Lake

FEEDS_AT_ONCE = 4
_PREVIEW_ROWS = 5


class FeedConfig(dg.Config):
    """`reload`: load the partition's committed extracts into the table again instead of reading the source, which gives
    the same rows."""

    reload: bool = False


@dataclass(frozen=True)
class FeedRun:
    """What a step gives to the sources that it opens. `progress` writes to the run's log, from any thread."""

    context: dg.AssetExecutionContext
    config: FeedConfig
    lake: Lake
    progress: Callable[[str], None]

    @property
    def partition(self) -> str | None:
        """The run's day, if it has one."""
        return self.context.partition_key if self.context.has_partition_key else None


OpenSources: TypeAlias = "Callable[[FeedRun, Sequence[Any]], Sequence[Source]]"
"""Opens the sources of a run's feeds, without those that have nothing to do."""


def run_feeds(
    context: dg.AssetExecutionContext, config: FeedConfig, feeds: Sequence[FeedSpec], open_sources: OpenSources
) -> Iterator[Any]:
    """Ingests the selected feeds, and yields materializations and check results. `lake/` alone reads the source and
    commits extracts; `raw/` alone loads those that are committed and not loaded. If feeds fail, raises dg.Failure at
    the end with each feed's error."""
    from data_platform.extract.ingest import Ingestion  # the readers, which loading definitions doesn't need

    wanted = set(context.selected_asset_keys)
    selected = [feed for feed in feeds if lake_key(feed) in wanted or raw_key(feed) in wanted]
    log_lock = threading.Lock()

    def progress(message: str) -> None:
        with log_lock:
            context.log.info(message)

    warehouse: WarehouseResource = context.resources.warehouse
    run = FeedRun(context, config, context.resources.lake.lake(), progress)
    sources = open_sources(run, selected)
    if sources:
        with warehouse.open() as connection:
            require_current(connection, settings().snowflake.database, MIGRATIONS)
    failed: dict[str, Exception] = {}

    @contextmanager
    def failures(feed: FeedSpec) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            context.log.exception(f"{feed.name} failed")
            failed[feed.name] = error

    def ingest(ingestion: Ingestion) -> Ingested:
        if config.reload:
            return ingestion.reload(run.partition)
        feed = ingestion.feed
        return ingestion.run(extracts=lake_key(feed) in wanted, loads=raw_key(feed) in wanted, partition=run.partition)

    settling: dict[Future[None], FeedSpec] = {}
    with ThreadPoolExecutor(FEEDS_AT_ONCE, thread_name_prefix="feed") as pool:
        futures: dict[Future[Ingested], Ingestion] = {}
        for source in sources:
            ingestion = Ingestion(
                source,
                lake=run.lake,
                connect=warehouse.open,
                database=settings().snowflake.database,
                run_id=context.run_id,
                query_tag=_query_tag(context, source.feed),
                progress=progress,
            )
            futures[pool.submit(ingest, ingestion)] = ingestion
        try:
            for future in as_completed(futures):
                ingestion = futures[future]
                with failures(ingestion.feed):
                    result = future.result()
                    # Report to Dagster, then settle: the next run reports again what isn't settled.
                    yield from _events(run, ingestion.source, result, warehouse)
                    settling[pool.submit(ingestion.settle, result)] = ingestion.feed
                if ingestion.feed.name in failed:
                    yield from _catalog(context, ingestion.source)
            for settled in as_completed(settling):
                with failures(settling[settled]):
                    settled.result()
        except BaseException:  # the run was stopped: start no more feeds
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not futures:
        context.log.info("Nothing is new for " + ", ".join(feed.name for feed in selected))
    if failed:
        raise dg.Failure(
            description="; ".join(f"{feed}: {error}" for feed, error in failed.items()),
            metadata={"failed feeds": ", ".join(failed), "other feeds done": len(futures) - len(failed)},
        )


def _catalog(context: dg.AssetExecutionContext, source: Source) -> Iterator[dg.AssetCheckResult]:
    """The check that says what has changed in the source, of a feed that failed: that may be why."""
    if source.feed.has_catalog:
        check = catalog_check_result(source, raw_key(source.feed))
        if _key(check) in context.selected_asset_check_keys:
            yield check


def _query_tag(context: dg.AssetExecutionContext, feed: FeedSpec) -> str:
    return f"dagster run={context.run_id} asset=raw/{feed.name}"


def _events(run: FeedRun, source: Source, result: Ingested, warehouse: WarehouseResource) -> Iterator[Any]:
    """The feed's materializations, with their metadata, and its check results. If deliveries were accounted for and no
    row was loaded (all are quarantined, or were loaded before), reports an observation of the table instead of a
    materialization. A table whose source has nothing new was read all the same, and is up to date: without a
    materialization Dagster would skip the models that follow in the run."""
    context, feed = run.context, source.feed
    for problem in source.problems():
        context.log.warning(f"{feed.name}: {problem}")
    extracted = [manifest for manifest in result.extracted if manifest.refused is None]
    if lake_key(feed) in context.selected_asset_keys and extracted:
        yield dg.MaterializeResult(asset_key=lake_key(feed), metadata=_lake_metadata(result, extracted))
    table = raw_key(feed)
    if table not in context.selected_asset_keys or not (result.loads or result.up_to_date):
        return
    tag = _query_tag(context, feed)
    began = time.time()
    with warehouse.open(query_tag=tag) as connection:
        checks = list(feed_check_results(source, result, connection, table, context.instance))
    shown = {}
    try:
        rows = preview(run.lake, result.manifests, limit=_PREVIEW_ROWS, hidden=feed.contract.personal)
        shown["preview"] = dg.MetadataValue.md(rows)
    except Exception as error:
        context.log.warning(f"{feed.name}: can't read a preview of the loaded rows: {error}")
    metadata = _raw_metadata(source, result, tag, shown)
    materialized = bool(result.manifests or result.up_to_date)
    if materialized:
        yield dg.MaterializeResult(asset_key=table, metadata=metadata)
    else:
        context.log_event(dg.AssetObservation(asset_key=table, partition=run.partition, metadata=metadata))
    for check in checks:
        if _key(check) in context.selected_asset_check_keys:
            yield check
            report_if_overtaken(context.instance, check, context.run_id, materialized=materialized, since=began)


def _key(check: dg.AssetCheckResult) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey.from_coercible(check.asset_key or []), str(check.check_name))


# Dagster shows metadata in this order: what people look for first, and JSON, which takes many lines, last.


def _lake_metadata(result: Ingested, extracted: Sequence[Any]) -> dict[str, Any]:
    last = extracted[-1]
    return {
        "dagster/partition_row_count": sum(manifest.rows for manifest in extracted),
        "rows": sum(manifest.rows for manifest in extracted),
        "rejects": sum(manifest.rejects for manifest in extracted),
        "seconds": round(result.seconds, 3),
        "bytes": sum(manifest.total_bytes for manifest in extracted),
        "extracts": len(extracted),
        **usage_metadata(),
        "extract_id": last.extract_id,
        "s3_uri": f"s3://{settings().lake_bucket}/{last.key.prefix}",
        "position": dg.MetadataValue.json(last.position_to),
    }


def _raw_metadata(source: Source, result: Ingested, query_tag: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    last = result.manifests[-1] if result.manifests else None
    return {
        "dagster/row_count": result.table_rows,
        "rows": result.rows_loaded,
        "rejects": sum(manifest.rejects for manifest in result.manifests),
        "seconds": round(result.seconds, 3),
        "bytes": sum(manifest.total_bytes for manifest in result.manifests),
        "rows_replaced": result.rows_deleted,
        **({"versions": result.versions} if source.feed.load_mode == "history" else {}),
        **source.metadata(),
        **shown,
        **usage_metadata(),
        **({"extract_id": last.extract_id} if last else {}),
        "query_tag": query_tag,
        "query_ids": dg.MetadataValue.json(result.query_ids),
        **({"position": dg.MetadataValue.json(last.position_to)} if last else {}),
    }
