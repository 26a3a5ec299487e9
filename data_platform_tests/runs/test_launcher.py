"""What a launch waits for, and that it launches nothing twice. Launches themselves are seen on the local ECS, in
`end_to_end/`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from types import SimpleNamespace
from typing import Any, NamedTuple

import dagster as dg
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    CredentialRetrievalError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from dagster_aws.ecs import EcsRunLauncher

from data_platform.runs import launcher as launching
from data_platform.runs.launcher import FargateRunLauncher, _pauses
from data_platform_tests.end_to_end.platform import wait_for


def test_waits_grow_to_a_minute_and_differ_from_run_to_run() -> None:
    pauses = list(islice(_pauses(), 12))
    assert 1.5 <= pauses[0] <= 2.5 and all(45 <= pause <= 75 for pause in pauses[6:])
    assert pauses != list(islice(_pauses(), 12))


class Context(NamedTuple):
    """What Dagster's queue gives to a launcher, as far as ours looks at it."""

    dagster_run: dg.DagsterRun


class Launches:
    """RunTask, in place of Dagster's launcher: `answer` raises what it does. `tokens`: those of the calls."""

    def __init__(self, launcher: FargateRunLauncher, instance: dg.DagsterInstance) -> None:
        self.launcher, self.instance = launcher, instance
        self.answer: Callable[[], None] = lambda: None
        self.made = 0
        self.spot: list[bool] = []
        self.tokens: list[str] = []

    def take(self, _: object, context: Context) -> None:
        asked = json.loads(context.dagster_run.tags["ecs/run_task_kwargs"])
        assert asked["startedBy"] == context.dagster_run.run_id
        self.spot.append("capacityProviderStrategy" in asked)
        self.tokens.append(asked["clientToken"])
        self.answer()
        self.made += 1

    def run(self, **tags: str) -> Context:
        run = dg.DagsterRun(job_name="j", status=dg.DagsterRunStatus.STARTING, tags=tags)
        self.instance.add_run(run)
        return Context(run)

    def seen(self, context: Context) -> dg.DagsterRun:
        """The run as the instance knows it now."""
        run = self.instance.get_run_by_id(context.dagster_run.run_id)
        assert run is not None
        return run

    def fails(self, context: Context) -> str:
        """Waits until the run has failed. Returns why."""
        wait_for(lambda: self.seen(context).status == dg.DagsterRunStatus.FAILURE, 60, "it fails", every=0.02)
        logs = self.instance.all_logs(context.dagster_run.run_id)
        return "\n".join(entry.message for entry in logs if entry.dagster_event)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    # Not in memory, where a thread that reads while another writes is refused instead of waiting.
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance) -> Iterator[Launches]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(launching, "_pauses", lambda: repeat(0.02))
    launcher = FargateRunLauncher(run_task_kwargs={"cluster": "c"})
    launcher.ecs = SimpleNamespace(list_tasks=lambda **_: {"taskArns": []})
    launcher.register_instance(instance)
    found = Launches(launcher, instance)
    monkeypatch.setattr(EcsRunLauncher, "launch_run", lambda _, context: found.take(_, context))
    monkeypatch.setattr(launching, "with_definition", lambda _, run: run)  # see test_task_definition
    monkeypatch.setattr(launching, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(launching, "get_task_logs", lambda *_, **__: [])
    yield found
    for run in instance.get_runs():  # the launcher stops watching a run that has ended
        if not run.is_finished:
            instance.report_run_failed(run)
    wait_for(
        lambda: not any(thread.name == "starting-runs" for thread in threading.enumerate()),
        60,
        "the launcher's thread ends",
        every=0.02,
    )


def no_capacity() -> None:
    raise RuntimeError("Capacity is unavailable at this time")


def test_a_launch_that_waits_for_capacity_returns_and_is_made_when_there_is_some(launches: Launches) -> None:
    launches.answer = no_capacity
    waiting = launches.run()
    launches.launcher.launch_run(waiting)  # the queue goes on
    assert launches.made == 0
    launches.answer = lambda: None
    wait_for(lambda: launches.made, 60, "it is launched")
    assert launches.seen(waiting).status == dg.DagsterRunStatus.STARTING


def test_a_launch_that_waited_in_vain_fails_its_run(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "SHORTAGE_SECONDS", 0.1)
    launches.answer = no_capacity
    waiting = launches.run()
    launches.launcher.launch_run(waiting)
    launches.fails(waiting)


def test_what_is_refused_while_a_launch_waits_fails_its_run_at_once(launches: Launches) -> None:
    answers = iter([no_capacity])

    def refused() -> None:
        next(answers, _refuse)()

    launches.answer = refused
    waiting = launches.run()
    launches.launcher.launch_run(waiting)
    launches.fails(waiting)


def _refuse() -> None:
    raise RuntimeError("An error occurred (AccessDeniedException) when calling RunTask")


URL = "https://ecs.us-east-1.amazonaws.com/"
UNCLEAR = [
    pytest.param(
        RuntimeError("An error occurred (ServerException) when calling the RunTask operation: try again"), id="says no"
    ),
    pytest.param(
        ClientError({"Error": {"Code": "502"}, "ResponseMetadata": {"HTTPStatusCode": 502}}, "RunTask"), id="fails"
    ),
    pytest.param(ConnectionClosedError(endpoint_url=URL), id="hangs up"),
    pytest.param(ReadTimeoutError(endpoint_url=URL), id="does not answer"),
]


@pytest.mark.parametrize("error", UNCLEAR)
@pytest.mark.parametrize("spot", ["true", "false"])
def test_a_launch_whose_answer_was_lost_is_repeated_with_the_same_token_in_the_same_market(
    launches: Launches, error: Exception, spot: str
) -> None:
    """ECS then returns the task that it may have launched."""
    answers = [error, error]

    def unclear() -> None:
        if answers:
            raise answers.pop()

    launches.answer = unclear
    run = launches.run(**{"data_platform/spot": spot})
    launches.launcher.launch_run(run)
    wait_for(lambda: launches.made, 60, "it is launched", 0.02)
    market = "spot" if spot == "true" else "on-demand"
    assert launches.tokens == [f"{run.dagster_run.run_id}-{market}"] * 3


def test_a_spot_run_goes_on_demand_once_it_is_clear_that_spot_launched_nothing(launches: Launches) -> None:
    answers = [RuntimeError("Capacity is unavailable at this time"), ReadTimeoutError(endpoint_url=URL)]

    def answer() -> None:
        if answers:
            raise answers.pop()

    launches.answer = answer
    run = launches.run(**{"data_platform/spot": "true"})
    launches.launcher.launch_run(run)
    wait_for(lambda: launches.made, 60, "it is launched", 0.02)
    assert launches.spot == [True, True, False]
    assert len({*launches.tokens}) == 2


def test_tags_cannot_give_a_run_other_arguments(launches: Launches) -> None:
    forged = {
        "ecs/run_task_kwargs": '{"taskDefinition": "payroll", "startedBy": "somebody", "clientToken": "x"}',
        "ecs/task_overrides": '{"taskRoleArn": "arn:aws:iam::1:role/admin"}',
        "ecs/container_overrides": '{"command": ["sh"]}',
    }
    run = launches.launcher._as_requested(launches.run(**forged).dagster_run, spot=False)
    assert json.loads(run.tags["ecs/run_task_kwargs"]).keys() == {"startedBy", "clientToken"}
    assert not run.tags["ecs/task_overrides"] and not run.tags["ecs/container_overrides"]


def test_a_launch_is_followed_although_dagsters_database_is_away_for_a_while(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [ConnectionError("the server closed the connection")]
    told = launches.instance.report_engine_event

    def report(*arguments: Any, **options: Any) -> Any:
        if away:
            raise away.pop()
        return told(*arguments, **options)

    monkeypatch.setattr(launches.instance, "report_engine_event", report)
    launches.answer = no_capacity
    waiting = launches.run()
    launches.launcher.launch_run(waiting)
    wait_for(lambda: not away, 60, "it was away", 0.02)
    launches.answer = lambda: None
    wait_for(lambda: launches.made, 60, "it is launched", 0.02)


class Ecs:
    """DescribeTasks: what it answers, in order, the last for ever."""

    def __init__(self, *answers: dict[str, str] | ClientError) -> None:
        self.answers, self.asked = list(answers), 0

    def describe_tasks(self, tasks: list[str], cluster: str) -> dict[str, list[dict[str, str]]]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, ClientError):
            raise answer
        return {"tasks": [{"taskArn": tasks[0], **answer}]}


PENDING = {"lastStatus": "PENDING"}
STOPPED = {"lastStatus": "STOPPED", "stopCode": "TaskFailedToStart", "stoppedReason": "no image"}


def launched(launches: Launches, ecs: Ecs) -> Context:
    """A run whose task is launched."""
    run = launches.run()
    launches.launcher.ecs = ecs
    tags = {"ecs/task_arn": "arn:task", "ecs/cluster": "c"}
    launches.answer = lambda: launches.instance.add_run_tags(run.dagster_run.run_id, tags)
    launches.launcher.launch_run(run)
    return run


def test_a_run_whose_task_ends_before_it_begins_fails_at_once_with_the_reason(launches: Launches) -> None:
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeTasks")
    run = launched(launches, Ecs(PENDING, throttled, STOPPED))
    assert "The task did not start: no image" in launches.fails(run)


def test_a_run_that_has_begun_is_watched_no_more(launches: Launches) -> None:
    ecs = Ecs(PENDING)
    run = launched(launches, ecs)
    wait_for(lambda: ecs.asked, 60, "it is watched", 0.02)
    launches.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "j"), run.dagster_run.run_id
    )
    assert launches.seen(run).status == dg.DagsterRunStatus.STARTED
    ecs.answers = [STOPPED]
    time.sleep(0.1)
    assert launches.seen(run).status == dg.DagsterRunStatus.STARTED


def test_one_thread_watches_all_runs_and_asks_for_several_tasks_at_once(
    launches: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launching.DESCRIBED_AT_ONCE == 100, "what DescribeTasks takes"
    monkeypatch.setattr(launching, "DESCRIBED_AT_ONCE", 4)  # a hundred runs take half a minute to end
    asked: list[int] = []

    def describe_tasks(tasks: list[str], cluster: str) -> dict[str, Any]:
        asked.append(len(tasks))
        return {"tasks": [{"taskArn": arn, **(STOPPED if arn == "arn:5" else PENDING)} for arn in tasks]}

    launches.launcher.ecs = SimpleNamespace(describe_tasks=describe_tasks)
    runs = [launches.run(**{"ecs/task_arn": f"arn:{number}", "ecs/cluster": "c"}) for number in range(6)]
    launches.launcher._starting.update(run.dagster_run.run_id for run in runs[1:])
    launches.launcher._watch(runs[0].dagster_run.run_id)
    assert "no image" in launches.fails(runs[5])
    wait_for(lambda: len(asked) >= 2, 60, "both pages are asked for", 0.02)
    assert asked[:2] == [4, 2]
    assert [thread.name for thread in threading.enumerate()].count("starting-runs") == 1
    assert launches.seen(runs[0]).status == dg.DagsterRunStatus.STARTING


@pytest.mark.parametrize(
    "error", [ReadTimeoutError(endpoint_url=URL), CredentialRetrievalError(provider="ecs", error_msg="")]
)
def test_the_reason_of_an_end_is_told_although_the_log_cannot_be_read(
    launches: Launches, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(launching, "get_task_logs", unreadable)
    why = launches.fails(launched(launches, Ecs(STOPPED)))
    assert "no image" in why and "can't read the log" in why


def test_a_retry_goes_on_demand_where_nobody_can_say_what_became_of_its_parent(launches: Launches) -> None:
    def describe_tasks(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url=URL)

    launches.launcher.ecs = SimpleNamespace(describe_tasks=describe_tasks)
    tags = {"ecs/task_arn": "arn:parent", "ecs/cluster": "c", "data_platform/spot": "true"}
    launches.launcher.launch_run(launches.run(**tags))
    assert launches.made == 1
    assert launches.spot == [False]


@pytest.mark.parametrize("spot", ["true", "false"])
def test_a_retry_is_not_taken_for_the_task_of_its_parent(launches: Launches, spot: str) -> None:
    launches.launcher.ecs = SimpleNamespace(describe_tasks=lambda tasks, cluster: {"tasks": []})
    tags = {"ecs/task_arn": "arn:parent", "ecs/cluster": "c", "data_platform/spot": spot}
    retry = launches.run(**tags)
    launches.launcher.launch_run(retry)
    assert not launches.seen(retry).tags["ecs/task_arn"]
