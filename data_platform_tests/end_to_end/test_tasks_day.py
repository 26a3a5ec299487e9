"""The platform's day with every run a task of the local ECS: asked for by the landing sensor, by the schedule, by a
click, and by `data-platform run`. The accounts are the same as without tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from dotenv import dotenv_values

from data_platform.environment.machine import machine_environment
from data_platform_tests.end_to_end import project
from data_platform_tests.end_to_end.browser import chromium
from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.platform import Platform, patience, wait_for

pytestmark = pytest.mark.end_to_end

RUNS = """{runsOrError(limit: 200) {... on Runs {results {runId status assetSelection {path} tags {key value}}}}}"""
RELOAD = """mutation {reloadRepositoryLocation(repositoryLocationName: "data_platform") {__typename}}"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
CITY = ZoneInfo("America/New_York")
CLICKED = ["marts", "dim_stations"]


@dataclass(frozen=True)
class Day:
    """A platform whose runs are tasks, with Dagster at work on it, and the copy of the project that is its code."""

    platform: Platform
    dev: DevServer
    copy: Path

    def runs(self) -> dict[str, dict[str, Any]]:
        """Every run there is, by id."""
        found = self.dev.graphql(RUNS)["runsOrError"]["results"]
        return {run["runId"]: {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found}

    def with_tag(self, name: str, value: str) -> list[dict[str, Any]]:
        """The runs with a tag, the latest first."""
        return [run for run in self.runs().values() if run["tags"].get(name) == value]

    def move_the_schedule(self) -> None:
        """Has the schedule `daily` tick within a minute or two."""
        # The next minute, even if it is over before the code with the new time is loaded: the scheduler looks once a
        # minute, and where a schedule's time has changed, it makes up for what was due since it last evaluated it.
        due = datetime.now(CITY) + timedelta(minutes=1)
        jobs = self.copy / "data_platform" / "automation" / "jobs.py"
        text, changed = re.subn(r'DAILY_AT = ".*"', f'DAILY_AT = "{due.minute} {due.hour} * * *"', jobs.read_text())
        assert changed == 1
        jobs.write_text(text)
        reloaded = self.dev.graphql(RELOAD)["reloadRepositoryLocation"]
        assert reloaded["__typename"] == "WorkspaceLocationEntry", reloaded

    def stopped(self, arns: Sequence[str]) -> list[dict[str, Any]] | None:
        """What ECS knows of these tasks, once all of them have stopped."""
        tasks: list[dict[str, Any]] = []
        for start in range(0, len(arns), 100):
            tasks += self.ecs.describe_tasks(cluster="data-platform", tasks=arns[start : start + 100])["tasks"]
        return tasks if all(task["lastStatus"] == "STOPPED" for task in tasks) else None

    @property
    def ecs(self) -> Any:
        cloud = self.platform.environment
        return boto3.client(
            "ecs",
            endpoint_url=cloud["AWS_ENDPOINT_URL"],
            region_name=cloud["AWS_REGION"],
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    copy = project.copy_project(tmp_path_factory.mktemp("day"))
    state = tmp_path_factory.mktemp("state")
    here = {**project.environment(copy), "DATA_PLATFORM_STATE_DIR": str(state)}
    machine = Platform({**machine_environment(), **here})
    up = machine.command("data-platform", "up", "--ecs")
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        cloud = {name: value or "" for name, value in dotenv_values(state / "cloud.env", interpolate=False).items()}
        platform = Platform.on({**cloud, **here})
        dev = DevServer.start(platform, state / "dev.log")
        try:
            dev.wait_until_ready()
            dev.stop_sensor("marts_follow_raw")  # each of its runs would be a task more; `run` builds the models too
            yield Day(platform, dev, copy)
        finally:
            dev.stop()
    finally:
        machine.command("data-platform", "down")


@pytest.fixture(scope="module")
def ran(day: Day) -> str:
    """What `data-platform run` said."""
    ended = day.platform.command("data-platform", "run", seconds=1200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_accounts_are_as_the_answer_key_says(ran: str) -> None:
    assert "All results match the answer key." in ran
    runs = re.search(r"(\d+) of (\d+) runs succeeded", ran)
    assert runs and runs[1] == runs[2]


def test_what_landed_was_taken_in_by_tasks_that_the_sensor_asked_for(day: Day, ran: str) -> None:
    landing = day.with_tag("dagster/sensor_name", "landing")
    assert len(landing) >= 6
    for run in landing:
        assert run["status"] == "SUCCESS"
        assert run["tags"]["ecs/task_arn"] and run["tags"]["data_platform/spot"] == "true"


@pytest.fixture(scope="module")
def scheduled(day: Day, ran: str) -> list[str]:
    """The schedule ticks within a minute or two. The runs that it had asked for before: at half past six, one."""
    before = [run["runId"] for run in day.with_tag("dagster/schedule_name", "daily")]
    day.move_the_schedule()
    return before


@pytest.mark.usefixtures("scheduled")  # so that its minute goes by meanwhile
def test_a_click_in_the_ui_starts_a_task(day: Day, tmp_path: Path) -> None:
    def by_hand() -> set[str]:
        return {run["runId"] for run in day.runs().values() if run["assetSelection"] == [{"path": CLICKED}]}

    before = by_hand()
    with chromium(tmp_path) as browser:
        browser.open(f"{day.dev.url}/assets/{'/'.join(CLICKED)}")
        browser.click("Materialize")
        (run_id,) = wait_for(lambda: by_hand() - before, patience(180), "the UI starts a run")
        browser.open(f"{day.dev.url}/runs/{run_id}")
        browser.see("Success", seconds=400)
        browser.picture("clicked")
    assert day.runs()[run_id]["tags"]["ecs/task_arn"]


def test_the_schedules_tick_starts_the_day_as_a_task(day: Day, scheduled: list[str]) -> None:
    def ended() -> dict[str, Any] | None:
        runs = day.with_tag("dagster/schedule_name", "daily")
        return next((run for run in runs if run["runId"] not in scheduled and run["status"] in ENDED), None)

    run = wait_for(ended, patience(600), "the schedule's run ends")
    assert run["status"] == "SUCCESS"
    assert run["tags"]["ecs/task_arn"] and run["tags"]["ecs/memory"] == "4096"


def test_every_run_was_a_task_of_its_own_that_ended_well(day: Day, ran: str) -> None:
    def ended() -> list[dict[str, Any]] | None:
        runs = list(day.runs().values())
        return runs if all(run["status"] in ENDED for run in runs) else None

    runs = wait_for(ended, patience(600), "what follows is built", 2)
    assert {run["status"] for run in runs} == {"SUCCESS"}
    arns = [run["tags"]["ecs/task_arn"] for run in runs]
    assert len(set(arns)) == len(arns) >= 9
    # A run succeeds a moment before its task's process ends.
    tasks = wait_for(lambda: day.stopped(arns), patience(180), "their tasks have stopped", 2)
    assert [task["containers"][0]["exitCode"] for task in tasks] == [0] * len(arns)


def test_a_materialization_says_what_its_run_used(day: Day, ran: str) -> None:
    found = day.dev.graphql(
        """{assetNodes(assetKeys: [{path: ["raw", "clear_air", "stations"]}, {path: ["marts", "city_daily"]}]) {
        assetMaterializations(limit: 1) {metadataEntries {label ... on FloatMetadataEntry {floatValue}}}}}"""
    )
    for node in found["assetNodes"]:
        (latest,) = node["assetMaterializations"]
        used = {entry["label"]: entry.get("floatValue") for entry in latest["metadataEntries"]}
        assert 100 < used["process_peak_memory_mib"] < 4096
        assert used["process_cpu_seconds"] > 0


def test_no_secret_is_in_a_task_definition_a_command_line_or_a_tasks_log(day: Day, ran: str) -> None:
    planted = day.platform.planted
    families = day.ecs.list_task_definitions()["taskDefinitionArns"]
    assert families
    for family in families:
        assert planted.found_in(str(day.ecs.describe_task_definition(taskDefinition=family))) == []
    logs = list((day.platform.state_dir / "logs" / "tasks").glob("*.log"))
    assert logs
    for log in (*logs, day.dev.log):
        assert planted.found_in(log.read_text(errors="replace")) == [], log
    assert planted.found_in(str(_context(day.platform.environment))) == []


def _context(environment: Mapping[str, str]) -> str:
    return environment["DAGSTER_CONTAINER_CONTEXT"] + environment["DAGSTER_CURRENT_IMAGE"]
