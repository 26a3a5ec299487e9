"""What every run is given on its way into the queue: the size of its task, how it is retried, what code it
runs."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from data_platform.runs.sizes import Compute, fit, fit_storage, largest, next_size

IMAGE_TAG = "dagster/image"
COMMIT_TAG = "data_platform/commit"
DBT_COMMIT_TAG = "data_platform/dbt_commit"
SPOT_TAG = "data_platform/spot"
OUT_OF_MEMORY_TAG = "data_platform/out_of_memory_at"
"""On a run that was killed for memory: the MiB it had. A retry has its parent's tags."""
INTERRUPTED_TAG = "data_platform/spot_interrupted"
SIZE_TAG = ".data_platform/size"
"""On every run: those tags of its size that nobody asked for by hand, as JSON. A retry, and a re-execution after the
size in a defs.yaml was changed, come with their parent's tags, which then say nothing."""
RETRY_STRATEGY_TAG = "dagster/retry_strategy"
_RANGE_TAG = "dagster/asset_partition_range_start"

_log = logging.getLogger(__name__)


class PlatformRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue. Runs come in from the UI, from schedules and sensors, and as retries; here they all pass."""

    def submit_run(self, context: Any) -> dg.DagsterRun:
        """Tags the run, then puts it in the queue. A run whose assets can't be looked up gets the default size."""
        run = context.dagster_run
        try:
            declared = list(_declared(run, context.workspace))
        except Exception:
            _log.exception("run %s gets the default size: its assets can't be looked up", run.run_id)
            declared = []
        instance = context.workspace.instance
        instance.add_run_tags(run.run_id, tags_of(run, declared))
        if run.run_op_concurrency:
            _limit(run.run_op_concurrency.all_pools or (), instance)
        return super().submit_run(context)


def tags_of(run: dg.DagsterRun, declared: Sequence[Compute]) -> dict[str, str]:
    """The tags of a run whose assets declare this."""
    return {**_size(run.tags, declared), **_record(run, declared)}


def _limit(pools: Collection[str], instance: dg.DagsterInstance) -> None:
    """Gives pools their default limit before a run of theirs is in the queue: those that were never used, and those
    that have an older default. Dagster does it only while it takes runs off the queue, where those that it finds of a
    new pool all start together, and where a changed default fails each look at the queue, after which no pool limits
    anything (seen in 1.13.27 on PostgreSQL)."""
    storage, default = instance.event_log_storage, instance.global_op_concurrency_default_limit
    known = {limit.name: limit for limit in storage.get_pool_limits()}
    for pool in pools:
        limit = known.get(pool)
        if limit and (limit.limit == default or not limit.from_default):
            continue
        if limit:
            storage.delete_concurrency_limit(pool)
        try:
            storage.initialize_concurrency_limit_to_default(pool)
        except Exception:  # of two at a time, the second
            if pool not in storage.get_concurrency_keys():
                raise


def _declared(run: dg.DagsterRun, workspace: Any) -> Iterator[Compute]:
    """What each of the run's assets declares."""
    origin = run.remote_job_origin
    if origin is None:
        return
    location = workspace.get_code_location(origin.location_name)
    repository = location.get_repository(origin.repository_origin.repository_name)
    for asset in repository.get_asset_node_snaps(run.job_name):
        if run.asset_selection is None or asset.asset_key in run.asset_selection:
            yield Compute.of_tags(asset.tags)


def _size(tags: Mapping[str, str], declared: Sequence[Compute]) -> dict[str, str]:
    """The tags of a run's size. What someone asked for by hand stands, made a size that Fargate has. A run that was
    killed for memory gets at least the next size; one that Spot took back goes on demand."""
    size, asked = largest(declared), _by_hand(tags)
    by_hand = _number(asked, "ecs/cpu"), _number(asked, "ecs/memory")
    cpu, memory = fit(*by_hand) if any(by_hand) else (size.cpu or 0, size.memory or 0)
    if killed_at := _number(tags, OUT_OF_MEMORY_TAG):
        _, more = next_size(cpu, killed_at) or fit(cpu, killed_at)
        cpu, memory = fit(cpu, max(memory, more))
    found = {"ecs/cpu": str(cpu), "ecs/memory": str(memory)}
    storage = fit_storage(_number(asked, "ecs/ephemeral_storage") or size.ephemeral_storage or 0)
    if storage or "ecs/ephemeral_storage" in tags:
        found["ecs/ephemeral_storage"] = str(storage or "")
    spot = asked.get(SPOT_TAG, str(size.spot).lower()) == "true" and INTERRUPTED_TAG not in tags
    found[SPOT_TAG] = str(spot).lower()
    return {**found, SIZE_TAG: json.dumps({name: value for name, value in found.items() if name not in asked})}


def _by_hand(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags without those of the size that were put here on a run before this one."""
    put = json.loads(tags.get(SIZE_TAG, "{}"))
    return {name: value for name, value in tags.items() if put.get(name) != value}


def _number(tags: Mapping[str, str], name: str) -> int:
    text = tags.get(name, "")
    return int(text) if text.isdecimal() else 0


def _record(run: dg.DagsterRun, declared: Sequence[Compute]) -> dict[str, str]:
    """What tells later which code a run ran, and how it is to be retried: only the assets that are missing. Of a
    run of a range of partitions all of them: Dagster counts an asset as made when one of its partitions was."""
    tags = {}
    if declared and RETRY_STRATEGY_TAG not in run.tags:
        tags[RETRY_STRATEGY_TAG] = "ALL_STEPS" if _RANGE_TAG in run.tags else "FROM_ASSET_FAILURE"
    origin = run.job_code_origin
    if origin and origin.repository_origin.container_image:
        tags[IMAGE_TAG] = origin.repository_origin.container_image
    context = (origin.repository_origin.container_context if origin else None) or {}
    for entry in (*context.get("env_vars", ()), *context.get("ecs", {}).get("env_vars", ())):
        name, _, value = entry.partition("=")
        for variable, tag in (("DATA_PLATFORM_CODE_COMMIT", COMMIT_TAG), ("DATA_PLATFORM_DBT_COMMIT", DBT_COMMIT_TAG)):
            if name == variable and value:
                tags[tag] = value
    return tags
