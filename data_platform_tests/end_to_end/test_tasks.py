"""Runs that are tasks: launched by the instance's own launcher, and what becomes of them when something goes wrong. The
operator's side of each is in docs/ecs.md."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from data_platform.local_cloud.ecs.faults import Fault
from data_platform_tests.end_to_end.fleet import Fleet
from data_platform_tests.end_to_end.platform import patience, wait_for
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.end_to_end

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    cloud = private_cloud(tmp_path_factory.mktemp("cloud"), runs_on="ecs")
    misbehaving = "data_platform_tests.end_to_end.misbehaving"
    started: Fleet | None = None
    try:
        started = Fleet(cloud.up(), tmp_path_factory.mktemp("fleet") / "f", misbehaving)
        started.start()
        yield started
    finally:
        if started is not None:
            started.stop()
        cloud.down()


@pytest.fixture(autouse=True)
def _nothing_goes_wrong_any_more(fleet: Fleet) -> Iterator[None]:
    yield
    fleet.faults.clear()


@pytest.fixture(scope="module")
def pending(fleet: Fleet) -> str:
    """A run whose task never starts. It is launched first and looked at last, so that its time goes by meanwhile."""
    fleet.suffers(Fault("never_start"))
    run_id = fleet.launch("fine")
    wait_for(lambda: not fleet.faults.left(), patience(180), "its task is pending")
    return run_id


@pytest.mark.usefixtures("pending")
def test_a_run_is_a_task_of_its_own_of_the_size_that_its_assets_declare(fleet: Fleet) -> None:
    run = fleet.ended(fleet.launch("fine"))
    assert run.status == SUCCESS, fleet.told(run.run_id)
    assert [run_id for run_id, _ in fleet.ran("fine")].count(run.run_id) == 1
    (task,) = fleet.tasks(run.run_id)
    assert (task["cpu"], task["memory"], task["launchType"]) == ("256", "512", "FARGATE")
    wait_for(lambda: fleet.tasks(run.run_id)[0]["lastStatus"] == "STOPPED", patience(60), "its task ends")
    assert run.tags["dagster/image"] == fleet.image


def test_what_a_run_prints_is_in_the_bucket_while_it_runs_and_when_it_has_ended(fleet: Fleet) -> None:
    bucket, prefix = fleet.cloud["DATA_PLATFORM_LOGS_BUCKET"], "compute-logs/storage/"
    run = fleet.launch("endless")
    done = fleet.ended(fleet.launch("fine"))
    assert [key for key in fleet.keys(bucket, prefix + done.run_id) if key.endswith(".out")]
    partial = wait_for(lambda: fleet.keys(bucket, prefix + run), patience(180), "what it has printed is uploaded")
    assert all(key.endswith(".partial") for key in partial)
    fleet.terminate(run)
    assert fleet.ended(run).status == CANCELED


def test_a_terminated_runs_task_is_stopped_and_nothing_is_retried(fleet: Fleet) -> None:
    run = fleet.launch("endless")
    pid = fleet.running("endless", run)
    assert pid not in [each.pid for process in fleet.processes.values() for each in process.children(recursive=True)]
    fleet.terminate(run)
    assert fleet.ended(run).status == CANCELED
    wait_for(lambda: not psutil.pid_exists(pid), patience(90), "the process is gone")
    with fleet.instance() as instance:
        assert not instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run}))


def test_a_killed_task_fails_its_run_with_its_last_lines_and_only_what_is_missing_is_done_again(fleet: Fleet) -> None:
    run_id = fleet.launch("first", "waits")
    os.kill(fleet.running("waits", run_id), signal.SIGKILL)
    killed = fleet.ended(run_id)
    assert killed.status == FAILURE
    said = "\n".join(fleet.told(run_id))
    assert "exit code 137, signal 9" in said
    assert "Its last lines:" in said and 'Started execution of step "waits"' in said
    retry = fleet.retried(killed)
    assert retry.status == SUCCESS
    assert [run for run, _ in fleet.ran("first")] == [run_id]
    assert [run for run, _ in fleet.ran("waits")][-2:] == [run_id, retry.run_id]


def test_a_run_killed_for_memory_is_retried_one_size_up_and_says_so(fleet: Fleet) -> None:
    killed = fleet.ended(fleet.launch("hungry"))
    assert killed.status == FAILURE
    assert any("had 512 MiB. A retry gets 1024 MiB" in line for line in fleet.told(killed.run_id))
    retry = fleet.retried(killed)
    assert retry.status == SUCCESS and retry.tags["ecs/memory"] == "1024"


def test_a_worker_that_ends_with_zero_in_the_middle_of_its_run_is_noticed(fleet: Fleet) -> None:
    left = fleet.ended(fleet.launch("quits"))
    assert left.status == FAILURE
    said = "\n".join(fleet.told(left.run_id))
    assert "exit code 0 in the middle of the run" in said and "last words of a quitter" in said
    assert fleet.retried(left).status == SUCCESS


def test_a_task_that_spot_takes_back_is_retried_on_demand(fleet: Fleet) -> None:
    run_id = fleet.launch("waits")
    fleet.running("waits", run_id)
    (task,) = fleet.tasks(run_id)
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    fleet.suffers(Fault("spot_interruption", task=task["taskArn"]))
    interrupted = fleet.ended(run_id)
    assert interrupted.status == FAILURE
    retry = fleet.retried(interrupted)
    assert retry.status == SUCCESS
    assert "capacityProviderName" not in fleet.tasks(retry.run_id)[0]


def _relaunched(fleet: Fleet, asset: str, never: dg.DagsterRun) -> str:
    """What is said of a run that never began, whose retry alone executed the asset."""
    assert never.status == FAILURE
    retry = fleet.retried(never)
    assert retry.status == SUCCESS
    assert [run for run, _ in fleet.ran(asset) if run in (never.run_id, retry.run_id)] == [retry.run_id]
    return "\n".join(fleet.told(never.run_id))


def test_a_task_that_cannot_start_is_relaunched_at_once_and_its_asset_runs_once(fleet: Fleet) -> None:
    fleet.suffers(Fault("start_failure", reason="CannotPullContainerError: i/o timeout"))
    unpulled = fleet.ended(fleet.launch("first"))
    said = _relaunched(fleet, "first", unpulled)
    assert "did not start: CannotPullContainerError: i/o timeout" in said
    assert "taking longer than" not in said


def test_throttling_and_a_lack_of_capacity_are_waited_for(fleet: Fleet) -> None:
    fleet.suffers(Fault("throttling", times=2), Fault("capacity"), Fault("vcpu_limit"))
    run = fleet.ended(fleet.launch("fine"), 300)
    assert run.status == SUCCESS
    assert any("No task yet, next attempt in" in line for line in fleet.told(run.run_id))
    assert len(fleet.tasks(run.run_id)) == 1
    assert fleet.faults.left() == []


def test_a_launch_whose_answer_is_lost_starts_one_task(fleet: Fleet) -> None:
    """The launcher asks again with the same clientToken, and ECS returns the task that it has launched."""
    fleet.suffers(Fault("lost_answer"))
    run = fleet.ended(fleet.launch("fine"), 300)
    assert run.status == SUCCESS
    assert len(fleet.tasks(run.run_id)) == 1
    assert fleet.faults.left() == []


def test_a_run_that_waits_for_capacity_keeps_no_other_waiting(fleet: Fleet) -> None:
    fleet.suffers(Fault("capacity", times=None, task="unlucky"))
    waiting = fleet.launch("first", tags={"data_platform/commit": "unlucky"})
    wait_for(lambda: any("No task yet" in line for line in fleet.told(waiting)), patience(180), "it waits")
    assert fleet.ended(fleet.launch("fine")).status == SUCCESS
    with fleet.instance() as instance:
        now = instance.get_run_by_id(waiting)
    assert now is not None and now.status == dg.DagsterRunStatus.STARTING
    fleet.faults.clear()
    assert fleet.ended(waiting).status == SUCCESS


def test_where_spot_has_no_capacity_a_run_goes_on_demand_at_once(fleet: Fleet) -> None:
    fleet.suffers(Fault("capacity", times=None))
    run_id = fleet.launch("waits")
    wait_for(
        lambda: any("No Spot task, requesting one on demand" in line for line in fleet.told(run_id)),
        patience(180),
        "it says so",
    )
    fleet.faults.clear()
    fleet.running("waits", run_id)
    assert "capacityProviderName" not in fleet.tasks(run_id)[0]
    fleet.terminate(run_id)


def test_a_daemon_that_is_killed_loses_no_run_and_runs_none_twice(fleet: Fleet) -> None:
    before = len(fleet.ran("slow"))
    runs = [fleet.launch("slow") for _ in range(5)]  # four have places; one waits
    wait_for(lambda: len(fleet.ran("slow")) > before, patience(180), "some run")
    fleet.kill("daemon")
    fleet.start("daemon")
    ended = [fleet.ended(run, 300) for run in runs]
    done = [run if run.status == SUCCESS else fleet.retried(run) for run in ended]
    assert [run.status for run in done] == [SUCCESS] * len(runs)
    assert sorted(run for run, _ in fleet.ran("slow")[before:]) == sorted(run.run_id for run in done)


def test_a_daemon_that_dies_between_launching_and_writing_it_down_finds_the_task_again(fleet: Fleet) -> None:
    run_id = fleet.launch("endless")
    fleet.running("endless", run_id)
    fleet.kill("daemon")
    with fleet.instance() as instance:  # as if it had died just before
        instance.add_run_tags(run_id, {"ecs/task_arn": "", "ecs/cluster": ""})
    fleet.start("daemon")

    def found() -> bool:
        with fleet.instance() as instance:
            run = instance.get_run_by_id(run_id)
            return run is not None and bool(run.tags["ecs/task_arn"])

    wait_for(found, patience(180), "its task is found")
    fleet.terminate(run_id)
    assert fleet.ended(run_id).status == CANCELED


def test_over_a_deploy_runs_in_flight_and_in_the_queue_keep_their_image(fleet: Fleet) -> None:
    in_flight = [fleet.launch("endless") for _ in range(int(fleet.cloud.get("DATA_PLATFORM_MAX_RUNS", "4")))]
    pids = [fleet.running("endless", run) for run in in_flight]
    queued, old = fleet.launch("fine"), fleet.image
    fleet.kill("code", signal.SIGTERM)
    fleet.use_image("fleet:2")
    fleet.start("code")

    def noticed() -> bool:
        try:
            run = fleet.launch("first", tags={"dagster/priority": "1"})
        except AssertionError:  # the webserver tries to reach the new code server now and then
            return False
        found = fleet.ended(run)
        return found.tags["dagster/image"] == "fleet:2" and found.status == SUCCESS

    fleet.terminate(in_flight[0])  # a place for one more at a time
    wait_for(noticed, patience(400), "new runs are of the new image", every=1)
    assert all(psutil.pid_exists(pid) for pid in pids[1:])
    assert fleet.ended(queued).status == SUCCESS
    (task,) = fleet.tasks(queued)
    assert task["containers"][0]["image"] == old
    for run in in_flight[1:]:
        fleet.terminate(run)
    assert [fleet.ended(run).status for run in in_flight] == [CANCELED] * len(in_flight)


def test_a_task_that_never_starts_is_relaunched_when_its_time_is_over(fleet: Fleet, pending: str) -> None:
    said = _relaunched(fleet, "fine", fleet.ended(pending, fleet.start_seconds + 240))
    assert "taking longer than" in said and "is PENDING" in said
