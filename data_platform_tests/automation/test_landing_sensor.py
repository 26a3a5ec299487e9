"""The landing sensor: what it asks for, and what it leaves alone. Its memory are the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from data_platform.automation.feed_keys import FEEDS_A_STEP, assets_of, step_names
from data_platform.automation.landing_history import (
    PACK_WHILE,
    PARTNER_TAG,
    History,
    read_history,
)
from data_platform.automation.landing_sensor import (
    FILES_A_RUN,
    READY_PER_PARTNER,
    SHARED_BYTES,
    SHARED_FILES,
    SHARED_SECONDS,
    Cursor,
    Tick,
    landing_sensor,
    requests,
    tick,
)
from data_platform.components.feed_assets import feed_definitions
from data_platform.components.sftp_partner import LANDING
from data_platform.feeds.files import FileFeedSpec, Quota
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.sorting import Ready
from data_platform.runs.landing_runs import LANDING_TAG
from data_platform.runs.queue import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG, SPOT_TAG
from data_platform_tests.landing.test_inbox import NOW, Objects, feed

STEPS = step_names([feed()])
WEEK = [f"inbound/p/f_202603{day:02}.csv" for day in range(1, 8)]


def look(bucket: Objects, history: History | None = None, cursor: Cursor | None = None) -> Tick:
    return tick(cast(LandingBucket, bucket), [feed()], lambda: history or History(), cursor or Cursor(), NOW)


def run_of(request: dg.RunRequest, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="j", run_id="r", run_config=request.run_config, status=status, tags=tags)


def landing_run(status: dg.DagsterRunStatus, request: dg.RunRequest | None = None) -> dg.DagsterRun:
    config = request.run_config if request else {}
    return dg.DagsterRun(job_name="j", run_config=config, status=status, tags={LANDING_TAG: "true"})


def history_after(*ends: tuple[dg.RunRequest, dg.DagsterRunStatus, datetime]) -> History:
    history = History()
    for request, status, at in ends:
        history.add(run_of(request, status), at)
    return history


def asked_for(request: dg.RunRequest) -> list[dict[str, Any]]:
    return [delivery for op in request.run_config["ops"].values() for delivery in op["config"]["deliveries"]]


def ready(count: int) -> list[Ready]:
    """So many files of one day."""
    listed = Objects({f"inbound/p/{number:04}.csv": 99 for number in range(count)}).objects
    return [Ready(pending=item, rules=feed(), partition="2026-03-01", companion=None) for item in listed]


@pytest.fixture
def one_file() -> Objects:
    return Objects({WEEK[0]: 99})


def test_a_days_files_go_in_one_run_with_the_checks_that_it_evaluates() -> None:
    found = look(Objects(dict.fromkeys(WEEK, 99)))
    assert [request.partition_key for request in found.requests] == [f"2026-03-0{day}" for day in range(1, 8)]
    request = found.requests[0]
    assert request.asset_selection == [dg.AssetKey(["lake", "p", "f"]), dg.AssetKey(["raw", "p", "f"])]
    assert {key.name for key in request.asset_check_keys or []} == {"contract", "deliveries"}


def test_days_that_dagster_tells_apart_go_in_runs_of_their_own() -> None:
    feeds = [feed(), feed("g", partition={"start": "2026-02-01"}), feed("h", time_zone="Asia/Tokyo")]
    bucket = Objects({f"inbound/p/{name}_20260306.csv": 99.0 for name in "fgh"})
    found = tick(cast(LandingBucket, bucket), feeds, History, Cursor(), NOW)
    runs = [[delivery["feed"] for delivery in asked_for(request)] for request in found.requests]
    assert sorted(runs) == [["p/f"], ["p/g"], ["p/h"]]


def with_sensor(feeds: Sequence[FileFeedSpec]) -> dg.Definitions:
    """The feeds' assets, and the sensor."""
    assets = feed_definitions("", "", feeds, LANDING)
    resources = {"lake": None, "warehouse": None, "landing": None}
    sensor = landing_sensor(assets_of(assets, FileFeedSpec))
    return dg.Definitions.merge(assets, dg.Definitions(sensors=[sensor], resources=resources))


def test_the_target_of_the_sensor_is_shown_by_groups() -> None:
    sensor = with_sensor([feed(), feed("g")]).get_repository_def().get_sensor_def("landing")
    assert str(sensor.asset_selection) == 'group:"p"'


def test_the_sensor_asks_for_runs_of_feeds_whose_partitions_differ() -> None:
    feeds = [feed(), feed("g", partition={"start": "2026-02-01"}, time_zone="Asia/Tokyo")]
    repository = with_sensor(feeds).get_repository_def()
    bucket = Objects({"inbound/p/f_20260306.csv": 99, "inbound/p/g_20260306.csv": 99, "inbound/p/f_29990101.csv": 99})
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            repository_def=repository,
            resources={"landing": SimpleNamespace(bucket=lambda: bucket)},
        )
        asked = repository.get_sensor_def("landing").evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in asked] == ["2026-03-06", "2026-03-06"]


def test_a_partners_many_feeds_are_taken_in_by_several_steps_of_one_run() -> None:
    feeds = [feed(f"f{number:03}") for number in range(FEEDS_A_STEP + 1)]
    definitions = feed_definitions("", "", feeds, LANDING)
    makes = {
        key.path[-1]: assets.op.name
        for assets in cast(list[Any], definitions.assets)
        if isinstance(assets, dg.AssetsDefinition)
        for key in assets.keys
    }
    bucket = Objects({f"inbound/p/{each.table}_20260306.csv": 99 for each in reversed(feeds)})
    (request,) = tick(cast(LandingBucket, bucket), feeds, History, Cursor(), NOW).requests
    asked = {
        delivery["feed"].removeprefix("p/"): step
        for step, op in request.run_config["ops"].items()
        for delivery in op["config"]["deliveries"]
    }
    assert asked == makes
    assert sorted(set(asked.values())) == ["p", "p__2"]


def test_what_a_run_has_is_not_asked_for_again(one_file: Objects) -> None:
    (request,) = look(one_file).requests
    history = history_after((request, dg.DagsterRunStatus.STARTED, NOW))
    assert look(one_file, history).requests == []


def test_files_that_come_while_a_run_of_their_day_has_not_started_go_together_in_the_next() -> None:
    bucket = Objects({WEEK[0]: 99})
    (request,) = look(bucket).requests
    starting = run_of(request, dg.DagsterRunStatus.STARTING, **{"dagster/partition": "2026-03-01"})
    history = History()
    history.add(starting, NOW, asked_at=NOW - PACK_WHILE / 2)
    more = Objects({WEEK[0]: 50, WEEK[1]: 99})
    assert [request.partition_key for request in look(more, history).requests] == ["2026-03-02"], "another day's go"

    history.coming_up["2026-03-01", ""] = NOW - PACK_WHILE
    assert len(look(more, history).requests) == 2, "not for long"
    history = History()
    history.add(run_of(request, dg.DagsterRunStatus.STARTED, **{"dagster/partition": "2026-03-01"}), NOW, asked_at=NOW)
    assert len(look(more, history).requests) == 2, "it has started"


def test_a_full_pack_and_a_file_that_has_failed_wait_for_nothing() -> None:
    history = History()
    history.coming_up["2026-03-01", "p"] = NOW
    items = ready(FILES_A_RUN)
    assert len(list(requests(items, history, NOW, STEPS))) == 1
    assert list(requests(items[1:], history, NOW, STEPS)) == []
    history.failed[items[1].pending.token] = 1
    (alone,) = requests(items[1:], history, NOW, STEPS)
    assert len(asked_for(alone)) == 1


def test_a_replay_or_a_file_left_by_a_successful_run_gets_a_run_key_of_its_own(one_file: Objects) -> None:
    (first,) = look(one_file).requests
    (second,) = look(one_file, history_after((first, dg.DagsterRunStatus.SUCCESS, NOW))).requests
    assert first.run_key != second.run_key


def test_a_file_that_the_history_has_forgotten_gets_a_run_key_that_dagster_has_not_seen(one_file: Objects) -> None:
    (first,) = look(one_file).requests
    feeds, later = [feed()], NOW + timedelta(days=3)
    (again,) = tick(cast(LandingBucket, one_file), feeds, History, Cursor(), later).requests
    assert first.run_key != again.run_key


def test_the_same_tick_twice_asks_for_the_same_run(one_file: Objects) -> None:
    assert [r.run_key for r in look(one_file).requests] == [r.run_key for r in look(one_file).requests]


def test_a_failed_run_is_tried_again_after_a_while_that_doubles(one_file: Objects) -> None:
    (request,) = look(one_file).requests
    ends = []
    for failures, seconds in enumerate([30, 60, 120, 240], start=1):
        ends = [(request, dg.DagsterRunStatus.FAILURE, NOW - timedelta(seconds=seconds - 1))] * failures
        assert not look(one_file, history_after(*ends)).requests
        ends = [(request, dg.DagsterRunStatus.FAILURE, NOW - timedelta(seconds=seconds))] * failures
        assert look(one_file, history_after(*ends)).requests


def test_after_a_run_that_was_killed_for_memory_the_next_one_knows_how_little_was_too_little(one_file: Objects) -> None:
    request = look(one_file).requests[0]
    assert OUT_OF_MEMORY_TAG not in request.tags
    history = History()
    killed = run_of(request, dg.DagsterRunStatus.FAILURE, **{OUT_OF_MEMORY_TAG: "2048"})
    history.add(killed, NOW - timedelta(hours=2))
    history.add(run_of(request, dg.DagsterRunStatus.FAILURE), NOW - timedelta(hours=1))
    assert look(one_file, history).requests[0].tags[OUT_OF_MEMORY_TAG] == "2048"


@pytest.mark.parametrize(
    "taken_back",
    [
        {INTERRUPTED_TAG: "true"},  # killed
        {"dagster/failure_reason": "UNEXPECTED_TERMINATION", SPOT_TAG: "true"},  # ended when it was asked to
    ],
)
def test_after_a_run_that_spot_took_back_the_next_ones_go_on_demand(
    one_file: Objects, taken_back: dict[str, str]
) -> None:
    request = look(one_file).requests[0]
    assert INTERRUPTED_TAG not in request.tags
    history = History()
    history.add(run_of(request, dg.DagsterRunStatus.FAILURE, **taken_back), NOW - timedelta(hours=3))
    second = look(one_file, history).requests[0]
    history.add(run_of(second, dg.DagsterRunStatus.FAILURE, **second.tags), NOW - timedelta(hours=2))
    assert INTERRUPTED_TAG in look(one_file, history).requests[0].tags


def test_dagster_does_not_retry_what_the_sensor_retries(one_file: Objects) -> None:
    assert look(one_file).requests[0].tags["dagster/max_retries"] == "0"


def test_files_whose_run_failed_go_apart_from_new_ones_and_never_stop_being_retried() -> None:
    items = ready(8)
    (first,) = requests(items[:4], History(), NOW, STEPS)
    history = history_after(*([(first, dg.DagsterRunStatus.FAILURE, NOW - timedelta(hours=1))] * 50))
    runs = [[delivery["key"] for delivery in asked_for(request)] for request in requests(items, history, NOW, STEPS)]
    assert runs == [[item.pending.key for item in items[4:]], [item.pending.key for item in items[:4]]]


def of_partners(**files: int) -> tuple[Objects, list[FileFeedSpec]]:
    """So many files of one day from each partner."""
    keys = {f"inbound/{name}/f_20260306.csv.{at:05}": 99.0 for name, number in files.items() for at in range(number)}
    pattern = r"f_(?P<day>\d{8})\.csv\.\d{5}"
    return Objects(keys), [feed(source=name, pattern=pattern) for name in files]


def takes(bucket: Objects, feeds: list[FileFeedSpec], history: History | None = None) -> Tick:
    return tick(cast(LandingBucket, bucket), feeds, lambda: history or History(), Cursor(), NOW)


def test_partners_with_few_files_share_a_run_and_one_with_many_gets_runs_of_its_own() -> None:
    found = takes(*of_partners(a=3, flood=SHARED_FILES + 1, z=4))
    runs = {request.tags.get(PARTNER_TAG): request for request in found.requests}
    assert {delivery["feed"] for delivery in asked_for(runs["flood"])} == {"flood/f"}
    assert {delivery["feed"] for delivery in asked_for(runs[None])} == {"a/f", "z/f"}
    assert len(found.requests) == 2


def test_a_partner_with_few_but_large_files_gets_runs_of_its_own_too() -> None:
    bucket, feeds = of_partners(a=1, large=2)
    bucket.objects = [item._replace(size=SHARED_BYTES if item.partner == "large" else 1) for item in bucket.objects]
    assert [request.tags.get(PARTNER_TAG) for request in takes(bucket, feeds).requests] == [None, "large"]


def test_a_run_of_one_partner_that_waits_for_its_turn_keeps_no_other_partner_waiting() -> None:
    bucket, feeds = of_partners(a=1, flood=SHARED_FILES + 1)
    history = History()
    for request in takes(bucket, feeds).requests:
        if PARTNER_TAG in request.tags:
            tags = {"dagster/partition": "2026-03-06", PARTNER_TAG: request.tags[PARTNER_TAG]}
            history.add(run_of(request, dg.DagsterRunStatus.STARTING, **tags), NOW, asked_at=NOW)
    (left,) = takes(bucket, feeds, history).requests
    assert {delivery["feed"] for delivery in asked_for(left)} == {"a/f"}


def ways(request: dg.RunRequest) -> set[float | None]:
    return {op["config"].get("gives_way_after") for op in request.run_config["ops"].values()}


def test_in_a_run_with_others_a_partner_gives_way_and_what_it_leaves_goes_in_a_run_of_its_own() -> None:
    bucket, feeds = of_partners(a=2, z=1)
    (shared,) = takes(bucket, feeds).requests
    assert ways(shared) == {SHARED_SECONDS}
    bucket.objects = [item for item in bucket.objects if item.partner == "a"]
    history = history_after((shared, dg.DagsterRunStatus.SUCCESS, NOW))
    (left,) = takes(bucket, feeds, history).requests
    assert (left.tags[PARTNER_TAG], ways(left)) == ("a", {None})


def test_one_partners_flood_leaves_the_others_their_place_in_the_tick() -> None:
    bucket, feeds = of_partners(**{f"flood{number}": 2 * READY_PER_PARTNER for number in range(3)}, z=1)
    found = takes(bucket, feeds)
    by_partner: Counter[str] = Counter()
    for request in found.requests:
        by_partner.update(delivery["feed"] for delivery in asked_for(request))
    assert by_partner == {**{f"flood{number}/f": READY_PER_PARTNER for number in range(3)}, "z/f": 1}
    assert found.cursor.after is None and not found.events, "the next ticks take the rest: no quota is passed"


def test_a_passed_quota_is_recorded_once_until_it_is_no_longer_passed() -> None:
    bucket, feeds = of_partners(p=5, q=1)
    feeds = [rules.model_copy(update={"quota": Quota(files=3)}) for rules in feeds]
    cursor, told = Cursor(), []
    for number in (5, 5, 4, 3, 3):
        bucket.objects = [item for item in bucket.objects if item.partner == "q"] + bucket.objects[-number - 1 : -1]
        bucket.objects.sort()
        found = tick(cast(LandingBucket, bucket), feeds, History, cursor, NOW)
        assert sum(len(asked_for(request)) for request in found.requests) == 4, "what lies beyond the quota waits"
        told.append([(event.partner, event.text) for event in found.events])
        cursor = Cursor.read(found.cursor.write())
    passed, over = [("p", "more than 3 files are pending")], [("p", "all its pending files are loaded again")]
    assert told == [passed, [], [], over, []]


def test_the_sensor_records_a_passed_quota_on_the_partners_asset() -> None:
    feeds = [feed(quota={"files": 1})]
    repository = with_sensor(feeds).get_repository_def()
    bucket = Objects({"inbound/p/f_20260306.csv": 99, "inbound/p/f_20260307.csv": 99})
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            repository_def=repository,
            resources={"landing": SimpleNamespace(bucket=lambda: bucket)},
        )
        tick_data = repository.get_sensor_def("landing").evaluate_tick(context)
    (event,) = tick_data.asset_events
    assert event.asset_key == dg.AssetKey(["inbound", "p"])
    assert event.description == "more than 1 files are pending"
    assert len(tick_data.run_requests or []) == 1


def test_nothing_pending_reads_no_runs() -> None:
    def unread() -> History:
        raise AssertionError("the runs were read")

    assert tick(cast(LandingBucket, Objects({})), [feed()], unread, Cursor(), NOW).requests == []


def test_the_cursor_survives_being_written_and_any_rubbish() -> None:
    cursor = Cursor("inbound/" + "k" * 1024, ("p", "q"))
    assert Cursor.read(cursor.write()) == cursor
    assert len(cursor.write()) < 10_000
    for rubbish in (None, "", "inbound/p/x", "{}", "[1]", "null", '[null, "2026-03-07", "2026-03-07", null]'):
        assert Cursor.read(rubbish) == Cursor()


def test_a_run_whose_configuration_somebody_changed_by_hand_stops_no_tick() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for config in ({"ops": {"p": None}}, {"ops": {"p": {"config": {"deliveries": ["f.csv"]}}}}):
            tags = {LANDING_TAG: "true", OUT_OF_MEMORY_TAG: "much"}
            run = dg.DagsterRun(job_name="j", run_config=config, status=dg.DagsterRunStatus.FAILURE, tags=tags)
            instance.add_run(run)
        assert read_history(instance, datetime.now(UTC)).failed == {}


def test_history_is_read_from_the_runs_of_an_instance(one_file: Objects) -> None:
    (request,) = look(one_file).requests
    with dg.DagsterInstance.ephemeral() as instance:
        for status in ("FAILURE", "SUCCESS", "STARTED"):
            instance.add_run(landing_run(dg.DagsterRunStatus(status), request))
        instance.add_run(dg.DagsterRun(job_name="j", run_id="another", status=dg.DagsterRunStatus.FAILURE))
        history = read_history(instance, datetime.now(UTC))
    token = one_file.objects[0].token
    assert history.under_way == {token}
    assert (history.ended[token], history.failed[token]) == (2, 1)


def test_failures_are_remembered_however_many_runs_succeed(one_file: Objects) -> None:
    (request,) = look(one_file).requests
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(landing_run(dg.DagsterRunStatus.FAILURE, request))
        for _ in range(400):
            instance.add_run(landing_run(dg.DagsterRunStatus.SUCCESS))
        assert read_history(instance, datetime.now(UTC)).failed[one_file.objects[0].token] == 1
