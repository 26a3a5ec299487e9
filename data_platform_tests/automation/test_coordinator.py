"""What the queue puts on a run: size, retries, commit. That runs pass here is seen in `end_to_end/`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import dagster as dg

from data_platform.automation.compute import Compute
from data_platform.automation.coordinator import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG, tags_of

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
