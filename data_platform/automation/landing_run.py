"""A landing run: ingests deliveries, and reports materializations and check results to Dagster.

The work itself is in `landing.intake`. Feeds run in parallel threads. If some fail, the others are still materialized;
then the step fails and names the failed feeds.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.automation.feed_checks import feed_check_results
from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.environment import settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.preview import preview
from data_platform.landing.bucket import landed_at
from data_platform.landing.inbox import pending_of
from data_platform.resources import LakeResource, LandingResource, WarehouseResource
from data_platform.runs.usage import usage_metadata

if TYPE_CHECKING:
    from data_platform.landing.result import IntakeResult
    from data_platform.landing.versions import Requested

FEEDS_AT_ONCE = 4
FEEDS_A_STEP = 50
"""Dagster's work for each output of a step grows with the square of the step's outputs (seen in 1.13.27)."""
_PREVIEW_ROWS = 5


class RequestedDelivery(dg.Config):
    """A pending file. `token` identifies the upload, as a partner may upload a file of the same name again. With
    `give_up` the file is quarantined for that reason instead of being read again."""

    feed: str
    key: str
    token: str | None = None
    companion: str | None = None
    give_up: str | None = None


class LandingConfig(dg.Config):
    """`deliveries`: the files to ingest; null means all that are pending and ready now. `reload`: load the partition's
    committed extracts into the table again instead, which gives the same rows."""

    deliveries: list[RequestedDelivery] | None = None
    reload: bool = False


def step_names(feeds: Iterable[FileFeedSpec]) -> dict[str, str]:
    """The step of each feed, by `<source>/<table>`. A source's feeds, by name, fill steps of FEEDS_A_STEP feeds:
    `<source>`, `<source>__2` and so on. `feeds` must be all feeds of their sources."""
    by_source: dict[str, list[str]] = defaultdict(list)
    for rules in feeds:
        by_source[rules.source].append(rules.name)
    return {
        feed: source if place < FEEDS_A_STEP else f"{source}__{place // FEEDS_A_STEP + 1}"
        for source, names in by_source.items()
        for place, feed in enumerate(sorted(names))
    }


def run_landing(
    context: dg.AssetExecutionContext,
    config: LandingConfig,
    feeds: Sequence[FileFeedSpec],
    *,
    lake: LakeResource,
    landing: LandingResource,
    warehouse: WarehouseResource,
) -> Iterator[Any]:
    """Ingests the configured deliveries, and yields materializations and check results. If feeds fail, raises
    dg.Failure at the end with each feed's error."""
    from data_platform.landing.intake import Intake  # the readers, which loading definitions doesn't need

    wanted = set(context.selected_asset_keys)
    selected = [rules for rules in feeds if lake_key(rules) in wanted or raw_key(rules) in wanted]
    partition = context.partition_key if context.has_partition_key else None
    bucket = landing.bucket()
    work = _work(config, selected, bucket, partition)
    failed: dict[str, Exception] = {}
    log_lock = threading.Lock()

    def progress(message: str) -> None:
        with log_lock:
            context.log.info(message)

    def intake_of(rules: FileFeedSpec) -> Intake:
        return Intake(
            rules,
            bucket=bucket,
            lake=lake.lake(),
            connect=warehouse.open,
            database=settings().snowflake.database,
            run_id=context.run_id,
            query_tag=_query_tag(context, rules),
            progress=progress,
        )

    @contextmanager
    def failures(rules: FileFeedSpec) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            context.log.exception(f"{rules.name} failed")
            failed[rules.name] = error

    def take_in(rules: FileFeedSpec) -> IntakeResult:
        return intake_of(rules).reload(partition) if config.reload else intake_of(rules).take_in(work[rules.name])

    def settle(rules: FileFeedSpec, result: IntakeResult) -> None:
        settling[pool.submit(intake_of(rules).settle, result)] = rules

    settling: dict[Future[None], FileFeedSpec] = {}
    with ThreadPoolExecutor(FEEDS_AT_ONCE, thread_name_prefix="feed") as pool:
        futures = {pool.submit(take_in, rules): rules for rules in selected if config.reload or work[rules.name]}
        try:
            for future in as_completed(futures):
                rules = futures[future]
                with failures(rules):
                    result = future.result()
                    # Report to Dagster, then settle: the next run reports again what isn't settled. Deliveries that are
                    # given up are settled even if the report fails, or they would never leave inbound.
                    try:
                        yield from _events(context, rules, result, lake, warehouse, partition)
                    except Exception:
                        if all(asked.give_up for asked in work[rules.name]):
                            settle(rules, result)
                        raise
                    settle(rules, result)
            for settled in as_completed(settling):
                with failures(settling[settled]):
                    settled.result()
        except BaseException:  # the run was stopped: start no more feeds
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not futures:
        context.log.info("Nothing is pending for " + ", ".join(rules.name for rules in selected))
    if failed:
        raise dg.Failure(
            description="; ".join(f"{feed}: {error}" for feed, error in failed.items()),
            metadata={"failed feeds": ", ".join(failed), "other feeds done": len(futures) - len(failed)},
        )


def _work(
    config: LandingConfig, selected: Sequence[FileFeedSpec], bucket: Any, partition: str | None
) -> Mapping[str, list[Requested]]:
    from data_platform.landing.versions import Requested

    work: dict[str, list[Requested]] = {rules.name: [] for rules in selected}
    if config.reload:
        return work
    if config.deliveries is None:
        for item in pending_of(bucket, selected, now=datetime.now(UTC), partition=partition):
            work[item.rules.name].append(Requested(item.pending.key, item.companion))
        return work
    for delivery in config.deliveries:
        if delivery.feed in work:
            until = landed_at(delivery.token) if delivery.give_up and delivery.token else None
            work[delivery.feed].append(Requested(delivery.key, delivery.companion, delivery.give_up, until))
    return work


def _query_tag(context: dg.AssetExecutionContext, rules: FileFeedSpec) -> str:
    return f"dagster run={context.run_id} asset=raw/{rules.name}"


def _events(
    context: dg.AssetExecutionContext,
    rules: FileFeedSpec,
    result: IntakeResult,
    lake: LakeResource,
    warehouse: WarehouseResource,
    partition: str | None,
) -> Iterator[Any]:
    """The feed's materializations, with their metadata, and its check results. If no row was loaded (all deliveries
    quarantined, or loaded before), reports an observation of the table instead of a materialization."""
    for receipt in result.receipts:
        if receipt.status != "loaded":
            context.log.warning(f"{rules.name}: {receipt.file_name} is {receipt.status}: {receipt.reason}")
    if lake_key(rules) in context.selected_asset_keys and result.manifests:
        yield dg.MaterializeResult(asset_key=lake_key(rules), metadata=_lake_metadata(result) | usage_metadata())
    table = raw_key(rules)
    if table not in context.selected_asset_keys or not result.loads:
        return
    tag = _query_tag(context, rules)
    with warehouse.open(query_tag=tag) as connection:
        checks = list(feed_check_results(rules, result, connection, table, context.instance))
    metadata = _raw_metadata(result, tag) | usage_metadata()
    try:
        metadata["preview"] = dg.MetadataValue.md(preview(lake.lake(), result.manifests, limit=_PREVIEW_ROWS))
    except Exception as error:
        context.log.warning(f"{rules.name}: can't read a preview of the loaded rows: {error}")
    if result.manifests:
        yield dg.MaterializeResult(asset_key=table, metadata=metadata)
    else:
        context.log_event(dg.AssetObservation(asset_key=table, partition=partition, metadata=metadata))
    yield from (check for check in checks if _key(check) in context.selected_asset_check_keys)


def _key(check: dg.AssetCheckResult) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey.from_coercible(check.asset_key or []), str(check.check_name))


def _lake_metadata(result: IntakeResult) -> dict[str, Any]:
    last = result.manifests[-1]
    return {
        "dagster/partition_row_count": sum(manifest.rows for manifest in result.manifests),
        "rows": sum(manifest.rows for manifest in result.manifests),
        "rejects": sum(manifest.rejects for manifest in result.manifests),
        "bytes": sum(manifest.total_bytes for manifest in result.manifests),
        "files": sum(len(manifest.files) for manifest in result.manifests),
        "extracts": len(result.manifests),
        "seconds": round(result.seconds, 3),
        "extract_id": last.extract_id,
        "s3_uri": f"s3://{settings().lake_bucket}/{last.key.prefix}",
        "position": dg.MetadataValue.json(last.position_to),
    }


def _raw_metadata(result: IntakeResult, query_tag: str) -> dict[str, Any]:
    last = result.manifests[-1] if result.manifests else None
    return {
        "dagster/row_count": result.table_rows,
        "rows": result.rows_loaded,
        "rows_replaced": result.rows_deleted,
        "rejects": sum(receipt.rows_rejected for receipt in result.receipts),
        "bytes": sum(manifest.total_bytes for manifest in result.manifests),
        "seconds": round(result.seconds, 3),
        "landed": len(result.receipts),
        **result.outcomes,
        "query_tag": query_tag,
        "query_ids": dg.MetadataValue.json(result.query_ids),
        **({"extract_id": last.extract_id, "position": dg.MetadataValue.json(last.position_to)} if last else {}),
    }
