"""The digest of the city's daily mart sees every build, once."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from obstore.store import MemoryStore

from data_platform.defs.demo import city_daily_digest as module
from data_platform.defs.demo.city_daily_digest import (
    MART,
    CityDailyDigest,
    city_daily_digest,
    city_daily_digest_sensor,
    write_digest,
)


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(module, "SETTLE_SECONDS", -1.0)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    """What a tick asks for, and the cursor that it leaves."""
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result: Any = city_daily_digest_sensor(context)
    if isinstance(result, dg.SkipReason):
        return [], cursor
    return list(result.run_requests), result.cursor


def build(instance: dg.DagsterInstance, times: int = 1) -> None:
    for _ in range(times):
        instance.report_runless_asset_event(dg.AssetMaterialization(MART))


def test_five_builds_between_two_ticks_are_five_digests(instance: dg.DagsterInstance) -> None:
    build(instance)
    first, cursor = tick(instance, None)
    build(instance, times=5)
    second, cursor = tick(instance, cursor)
    assert [len(first), len(second)] == [1, 5]
    keys = [int(str(request.run_key)) for request in first + second]
    assert keys == sorted(set(keys)), "each its own, in the order they came"
    assert tick(instance, cursor) == ([], cursor)


def test_more_builds_than_a_tick_takes_are_left_for_the_next(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVENTS_PER_TICK", 2)
    build(instance, times=5)
    cursor, seen = None, []
    for _ in range(4):
        requests, cursor = tick(instance, cursor)
        seen.append(len(requests))
    assert seen == [2, 2, 1, 0]


def test_a_tick_that_is_repeated_asks_under_the_same_keys(instance: dg.DagsterInstance) -> None:
    build(instance, times=3)
    once, _ = tick(instance, None)
    again, _ = tick(instance, None)
    assert [request.run_key for request in once] == [request.run_key for request in again]


def test_builds_of_other_assets_are_none_of_its_business(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(["marts", "dim_stations"]))
    assert tick(instance, None) == ([], None)


def test_an_event_that_a_slower_writer_may_still_come_before_waits(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 60.0)
    build(instance)
    assert tick(instance, None) == ([], None)


def test_its_run_requests_are_valid_runs_of_the_digest(instance: dg.DagsterInstance) -> None:
    build(instance)
    [request], _ = tick(instance, None)
    defs = dg.Definitions(
        sensors=[city_daily_digest_sensor],
        resources={"warehouse": dg.ResourceDefinition.none_resource(), "lake": dg.ResourceDefinition.none_resource()},
    )
    job = defs.resolve_job_def(city_daily_digest_sensor.job_name)
    assert job.asset_layer.executable_asset_keys == {city_daily_digest.key}
    assert dg.validate_run_config(job, request.run_config)


def test_a_digest_is_json_with_exact_sums_and_a_second_try_replaces_the_first() -> None:
    store = MemoryStore()
    digest = CityDailyDigest(
        days=1,
        first_day="2026-03-08",
        last_day="2026-03-08",
        litres="12345678901234567890.125",
        parking_sessions="2",
        parking_revenue="3.30",
        query_id="01b2",
        read_at="2026-03-09T00:00:00+00:00",
    )
    keys = {write_digest(store, 42, "run", digest) for _ in range(2)}
    assert keys == {"digests/city_daily/000000000042.json"}
    stored = json.loads(bytes(store.get(keys.pop()).bytes()))
    assert stored["litres"] == "12345678901234567890.125"
    assert (stored["event"], stored["built_by_run"]) == (42, "run")
