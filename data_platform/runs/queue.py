"""Dagster's run queue. Tags each run on its way in: with the size of its task, its retry strategy and its commits.
`sizes` computes sizes; `launcher` starts the tasks."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from data_platform.feeds.compute import Compute, fit
from data_platform.runs.sizes import fit_storage, largest, next_size

IMAGE_TAG = "dagster/image"
COMMIT_TAG = "data_platform/commit"
DBT_COMMIT_TAG = "data_platform/dbt_commit"
SPOT_TAG = "data_platform/spot"
OUT_OF_MEMORY_TAG = "data_platform/out_of_memory_at"
"""On a run that was killed for memory: the MiB it had. Its retries inherit the tag, and get the size after that."""
INTERRUPTED_TAG = "data_platform/spot_interrupted"
SIZE_TAG = ".data_platform/size"
"""On every run: the size tags that this module set, as JSON; any other size tag was set by hand. Retries and
re-executions inherit their parent's tags, and must ignore those that the platform set: a defs.yaml may have changed."""
RETRY_STRATEGY_TAG = "dagster/retry_strategy"
RUN_TASK_TAG = "ecs/run_task_kwargs"
NO_OVERRIDES = dict.fromkeys((RUN_TASK_TAG, "ecs/task_overrides", "ecs/container_overrides"), "")
"""Tags from which Dagster's launcher takes any argument of RunTask: with them, whoever may launch a run could start any
task, with any role. A run loses them on its way in."""
_RANGE_TAG = "dagster/asset_partition_range_start"

_log = logging.getLogger(__name__)


class PlatformRunCoordinator(dg.QueuedRunCoordinator):
    """Dagster's queue, which every run passes: from the UI, schedules, sensors and retries."""

    def submit_run(self, context: Any) -> dg.DagsterRun:
        """Tags the run, then puts it in the queue. The run gets the default size if the lookup of its assets fails."""
        run = context.dagster_run
        try:
            declared = list(_declared(run, context.workspace))
        except Exception:
            _log.exception("run %s gets the default size: the lookup of its assets failed", run.run_id)
            declared = []
        instance = context.workspace.instance
        instance.add_run_tags(run.run_id, tags_of(run, declared))
        if run.run_op_concurrency:
            _limit(run.run_op_concurrency.all_pools or (), instance)
        return super().submit_run(context)


def tags_of(run: dg.DagsterRun, declared: Sequence[Compute]) -> dict[str, str]:
    """The tags of a run whose assets declare these sizes."""
    no_overrides = {tag: "" for tag in NO_OVERRIDES if run.tags.get(tag)}
    return {**_size(run.tags, declared), **_record(run, declared), **no_overrides}


def _limit(pools: Collection[str], instance: dg.DagsterInstance) -> None:
    """Sets the default limit of new pools, and of pools that have an older default, before their runs are queued.

    Dagster sets it only while it dequeues runs (seen in 1.13.27 on PostgreSQL). By then, all queued runs of a new pool
    start at once. And if the default has changed, each attempt to dequeue fails, and no pool limits anything.
    """
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
        except Exception:  # another process has just set it
            if pool not in storage.get_concurrency_keys():
                raise


def _declared(run: dg.DagsterRun, workspace: Any) -> Iterator[Compute]:
    """The size that each of the run's assets declares."""
    origin = run.remote_job_origin
    if origin is None:
        return
    location = workspace.get_code_location(origin.location_name)
    repository = location.get_repository(origin.repository_origin.repository_name)
    for asset in repository.get_asset_node_snaps(run.job_name):
        if run.asset_selection is None or asset.asset_key in run.asset_selection:
            yield Compute.of_tags(asset.tags)


def _size(tags: Mapping[str, str], declared: Sequence[Compute]) -> dict[str, str]:
    """The tags of a run's size. A size set by hand wins, rounded up to one that Fargate offers. The retries of a run
    that was killed for memory get at least the next size; those of one that Spot took back run on demand."""
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
    """The tags without the size tags that this module set on the run's parent."""
    put = json.loads(tags.get(SIZE_TAG, "{}"))
    return {name: value for name, value in tags.items() if put.get(name) != value}


def _number(tags: Mapping[str, str], name: str) -> int:
    text = tags.get(name, "")
    return int(text) if text.isdecimal() else 0


def _record(run: dg.DagsterRun, declared: Sequence[Compute]) -> dict[str, str]:
    """The tags that record the run's code and set its retry strategy: only the failed and missing assets. A run of a
    range of partitions retries all: Dagster considers an asset done when one of its partitions is."""
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
