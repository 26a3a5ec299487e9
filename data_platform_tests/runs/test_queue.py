"""What the queue puts on a run: size, retries, commit; and that runs which share a pool take turns. That the platform's
runs pass here is seen in `end_to_end/`."""

# No `from __future__ import annotations`: Dagster reads the asset's.

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import dagster as dg
import pytest
import yaml

from data_platform.feeds.compute import Compute
from data_platform.runs import queue
from data_platform.runs.queue import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG, tags_of
from data_platform_tests.dagster_internals import LAUNCHER, Launcher, dequeue, job_in, workspace_of

SMALL, LARGE, SILENT = Compute(cpu=512, memory=4096, spot=True), Compute(memory=16384, ephemeral_storage=50), Compute()
COMMIT = "3b9c" * 10


def tags_after(declared: list[Compute], tags: dict[str, str] | None = None) -> dict[str, str]:
    """All tags of a run of such assets, once it is in the queue."""
    context = {"env_vars": ["A=1"], "ecs": {"env_vars": [f"DATA_PLATFORM_CODE_COMMIT={COMMIT}"]}}
    origin = SimpleNamespace(repository_origin=SimpleNamespace(container_image="platform:7", container_context=context))
    run = SimpleNamespace(tags=tags or {}, job_code_origin=origin)
    return {**(tags or {}), **tags_of(cast(dg.DagsterRun, run), declared)}


def test_the_largest_of_a_runs_assets_wins_and_all_must_allow_spot() -> None:
    alone = tags_after([SMALL])
    assert (alone["ecs/cpu"], alone["ecs/memory"], alone["data_platform/spot"]) == ("512", "4096", "true")
    assert "ecs/ephemeral_storage" not in alone
    both = tags_after([SMALL, LARGE, SILENT])
    assert (both["ecs/cpu"], both["ecs/memory"], both["ecs/ephemeral_storage"]) == ("2048", "16384", "50")
    assert both["data_platform/spot"] == "false"


def test_what_nobody_sized_gets_the_default() -> None:
    tags = tags_after([SILENT])
    assert (tags["ecs/cpu"], tags["ecs/memory"]) == ("1024", "2048")


def test_what_someone_asked_for_by_hand_stands_as_a_size_that_there_is() -> None:
    tags = tags_after([LARGE], {"ecs/memory": "3000"})
    assert (tags["ecs/cpu"], tags["ecs/memory"]) == ("512", "3072")


def test_tags_that_would_start_another_task_are_emptied() -> None:
    forged = {
        "ecs/run_task_kwargs": '{"taskDefinition": "payroll"}',
        "ecs/task_overrides": '{"taskRoleArn": "arn:aws:iam::1:role/admin"}',
        "ecs/container_overrides": '{"command": ["sh"]}',
    }
    assert {tag: tags_after([SILENT], forged)[tag] for tag in forged} == dict.fromkeys(forged, "")
    assert not forged.keys() & tags_after([SILENT]).keys()


def test_a_run_killed_for_memory_is_retried_one_size_up() -> None:
    first = tags_after([SMALL])
    retry = tags_after([SMALL], {**first, OUT_OF_MEMORY_TAG: "4096"})
    assert (retry["ecs/cpu"], retry["ecs/memory"]) == ("1024", "8192")
    assert tags_after([SILENT], {OUT_OF_MEMORY_TAG: "122880"})["ecs/memory"] == "122880", "there is no larger one"


def test_a_run_that_spot_took_back_is_retried_on_demand() -> None:
    first = tags_after([SMALL])
    assert tags_after([SMALL], {**first, INTERRUPTED_TAG: "true"})["data_platform/spot"] == "false"


def test_a_run_killed_for_memory_gets_no_less_than_its_assets_declare_by_now() -> None:
    retry = tags_after([LARGE], {OUT_OF_MEMORY_TAG: "2048"})
    assert (retry["ecs/cpu"], retry["ecs/memory"]) == ("2048", "16384")


def test_a_run_executed_again_has_the_size_that_its_assets_declare_by_now() -> None:
    first = tags_after([SMALL])
    again = tags_after([LARGE], first)
    assert (again["ecs/cpu"], again["ecs/memory"], again["ecs/ephemeral_storage"]) == ("2048", "16384", "50")
    assert again["data_platform/spot"] == "false"
    assert tags_after([SMALL], again)["ecs/ephemeral_storage"] == "", "no tag can be taken off a run"


def test_what_someone_asked_for_by_hand_stands_when_the_run_is_executed_again() -> None:
    first = tags_after([LARGE], {"ecs/memory": "3000", "data_platform/spot": "true"})
    again = tags_after([LARGE], first)
    assert (again["ecs/cpu"], again["ecs/memory"], again["data_platform/spot"]) == ("512", "3072", "true")
    killed = tags_after([LARGE], {**again, OUT_OF_MEMORY_TAG: "3072"})
    assert (killed["ecs/cpu"], killed["ecs/memory"]) == ("1024", "6144")


def test_someone_can_keep_a_run_off_spot() -> None:
    assert tags_after([SMALL], {"data_platform/spot": "false"})["data_platform/spot"] == "false"


def test_a_disk_that_fargate_has_not_becomes_one_that_it_has() -> None:
    by_hand = [
        tags_after([SMALL], {"ecs/ephemeral_storage": asked})["ecs/ephemeral_storage"] for asked in ("10", "500")
    ]
    assert by_hand == ["", "200"]
    on_an_asset = Compute.of_tags({"data_platform/ephemeral_storage": "500"})
    assert tags_after([on_an_asset])["ecs/ephemeral_storage"] == "200"


def test_of_a_range_of_partitions_all_are_made_again() -> None:
    tags = tags_after([SILENT], {"dagster/asset_partition_range_start": "2026-03-01"})
    assert tags["dagster/retry_strategy"] == "ALL_STEPS"


def test_a_run_says_which_code_it_runs_and_is_retried_from_what_is_missing() -> None:
    tags = tags_after([SILENT])
    assert tags["data_platform/commit"] == COMMIT
    assert tags["dagster/image"] == "platform:7"
    assert tags["dagster/retry_strategy"] == "FROM_ASSET_FAILURE"


@dg.asset(pool="models")
def model() -> None: ...


ROOT = Path(__file__).parents[2]
DEFINITIONS = dg.Definitions(assets=[model], jobs=[dg.define_asset_job("daily", [model])])


def queued_instance(default_limit: int = 1, postgres_url: str | None = None) -> dict[str, Any]:
    """An instance with the platform's queue, whose launches start nothing."""
    platform = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    found = {
        "run_coordinator": platform["run_coordinator"],
        "run_launcher": LAUNCHER,
        "concurrency": {"pools": {**platform["concurrency"]["pools"], "default_limit": default_limit}},
    }
    if postgres_url:
        found["storage"] = platform["storage"]
        found["storage"]["custom"]["config"] = {"postgres_url": postgres_url}
    return found


def submit(instance: dg.DagsterInstance, workspace: Any) -> None:
    daily = job_in(workspace, "daily")
    run = instance.create_run_for_job(
        DEFINITIONS.resolve_job_def("daily"),
        remote_job_origin=daily.get_remote_origin(),
        job_code_origin=daily.get_python_origin(),
    )
    instance.submit_run(run.run_id, workspace)


def test_of_the_first_runs_of_a_pool_that_come_together_one_waits() -> None:
    with dg.instance_for_test(queued_instance()) as instance, workspace_of(instance, __file__) as workspace:
        submit(instance, workspace)
        submit(instance, workspace)
        assert dequeue(instance, workspace) == ["QUEUED", "STARTING"]


def test_a_run_whose_code_server_is_away_stays_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test(queued_instance()) as instance, workspace_of(instance, __file__) as workspace:
        submit(instance, workspace)
        monkeypatch.setattr(Launcher, "away", True)
        assert dequeue(instance, workspace) == ["QUEUED"]
        monkeypatch.setattr(Launcher, "away", False)
        assert dequeue(instance, workspace) == ["STARTING"]


@pytest.mark.server
def test_of_many_that_submit_the_first_run_of_a_pool_none_fails(local_cloud: Mapping[str, str]) -> None:
    pools = [f"pool-{uuid4()}" for _ in range(20)]
    together = threading.Barrier(4)

    def limit(pool: str) -> None:
        together.wait()
        queue._limit([pool], instance)

    with (
        dg.instance_for_test(queued_instance(postgres_url=local_cloud["DAGSTER_POSTGRES_URL"])) as instance,
        ThreadPoolExecutor(4) as threads,
    ):
        for pool in pools:
            list(threads.map(limit, [pool] * 4))
        limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
        assert [limits[pool] for pool in pools] == [1] * len(pools)


@pytest.mark.server
def test_a_new_default_limit_is_that_of_pools_that_have_the_old_one(local_cloud: Mapping[str, str]) -> None:
    url, pool, by_hand = local_cloud["DAGSTER_POSTGRES_URL"], f"pool-{uuid4()}", f"pool-{uuid4()}"
    with dg.instance_for_test(queued_instance(1, url)) as instance:
        queue._limit([pool, by_hand], instance)
        instance.event_log_storage.set_concurrency_slots(by_hand, 1)
    with dg.instance_for_test(queued_instance(2, url)) as instance:
        queue._limit([pool, by_hand], instance)
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
        assert (limits[pool], limits[by_hand]) == (2, 1)
