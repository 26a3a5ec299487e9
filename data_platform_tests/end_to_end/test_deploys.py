"""New code by a push, while partners deliver without a pause: nothing is lost, sensors tick on, and each run runs what
it was made with."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.platform import ROOT, Platform, patience, wait_for
from data_platform_tests.end_to_end.project import copy_project
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.end_to_end

SERVED_SECONDS = 30
"""From the push until new code is served; with image builds it took 10 to 15 minutes."""
GAP_SECONDS = 30
"""Between a sensor's ticks, which are due every 10 s."""
SHOWN_SECONDS = 60
"""From its being served until the UI shows it: many times what it takes, so that a step that stalls is seen."""
FILES, EVERY = 15, 4.0
"""What the partner delivers at least, and every how many seconds."""
STATIONS = (["staging", "stg_clear_air__stations"], ["snapshots", "stations_history"], ["marts", "dim_stations"])
"""Models that are built by hand, one after the other: dim_stations is the one that changes."""
FEED = Path("data_platform/defs/sources/partners/harbor_water/meter_readings/defs.yaml")
RUNS = """{runsOrError(limit: 300) {... on Runs {results {
    runId status jobName startTime endTime tags {key value}
    eventConnection {events {... on MaterializationEvent {
        metadataEntries {label ... on TextMetadataEntry {text}}}}}}}}}"""
LIMIT = """mutation($limit: Int!) {setConcurrencyLimit(concurrencyKey: "dbt", limit: $limit)}"""
SHOWN = """{assetNodes(assetKeys: [{path: ["raw", "harbor_water", "meter_readings"]}]) {description}}"""


class Repository:
    """A bare repository, as a team's git server has it, and a clone that pushes to its branch `main`."""

    def __init__(self, url: Path, clone: Path) -> None:
        self.url, self.clone = url, clone
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(url))
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("remote", "add", "origin", str(url))

    def push_all(self, message: str) -> tuple[str, datetime]:
        """Pushes what is in the clone. Returns the commit and when it was there."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "origin", "main")
        return self._git("rev-parse", "HEAD"), datetime.now(UTC)

    def _git(self, *arguments: str) -> str:
        author = ("-c", "user.name=A Tester", "-c", "user.email=tester@example.org")
        done = subprocess.run(["git", *author, *arguments], cwd=self.clone, capture_output=True, text=True, check=True)
        return done.stdout.strip()


class CodeRepository(Repository):
    """The project's code."""

    def __init__(self, folder: Path) -> None:
        clone = copy_project(folder)
        (clone / "requirements").mkdir()
        for name in ("requirements/base.txt", ".gitignore"):
            shutil.copy(ROOT / name, clone / name)
        super().__init__(folder / "platform.git", clone)

    def push(self, description: str, broken: bool = False) -> tuple[str, datetime]:
        """Pushes a feed's new description, or one that doesn't load. Returns the commit and when it was there."""
        file = self.clone / FEED
        changed, count = re.subn(r"^  description: .*$", f"  description: {description}", file.read_text(), flags=re.M)
        assert count == 1
        file.write_text(changed.replace("load_mode:", "lode_mode:") if broken else changed)
        pushed = self.push_all(description)
        file.write_text(changed)
        return pushed


class DbtRepository(Repository):
    """The dbt project, in a repository of its own."""

    def __init__(self, folder: Path) -> None:
        left_out = shutil.ignore_patterns("target", "logs")
        super().__init__(folder / "dbt.git", shutil.copytree(ROOT / "dbt_project", folder / "dbt", ignore=left_out))

    def push(self, comment: str) -> tuple[str, datetime]:
        """Pushes a model with a new comment. Returns the commit and when it was there."""
        model = self.clone / "models" / "marts" / "dim_stations.sql"
        model.write_text(f"-- {comment}\n{model.read_text()}")
        return self.push_all(comment)


@dataclass
class Partner:
    """Delivers an hour's readings every few seconds, until told to stop. `slowness` is how many times longer things
    might take meanwhile than on a machine of their own, at worst."""

    platform: Platform
    folder: Path
    dropped: list[str] = field(default_factory=list)
    slowness: float = 1.0
    failure: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="partner")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        assert not self.failure, self.failure

    def _deliver(self) -> None:
        hour = datetime(2026, 6, 1, 0)
        try:
            while not self._over.wait(EVERY):
                self.slowness = max(self.slowness, patience(1))
                file = self.folder / f"readings_{hour:%Y%m%dT%H}-0400.csv"
                rows = [f"M-{meter:07},{hour:%Y-%m-%dT%H}:00:00-04:00,1.250,3600,ok," for meter in range(1, 151)]
                file.write_text("\n".join(["meter_id,read_at,litres,battery_mv,status,comment", *rows]) + "\n")
                self.platform.drop("harbor_water", file)
                self.dropped.append(file.name)
                hour += timedelta(hours=1)
        except BaseException as error:  # told by `stop`, in the test's thread
            self.failure.append(error)


@dataclass
class Deploys:
    """What happened: (commit, when it was pushed) of the code at first, a bad one, a good one, and of new models; two
    runs of models launched just before the good one's push, and one just after that of the models; and at the end all
    the runs and the sensor's ticks."""

    platform: Platform
    dev: DevServer
    partner: Partner
    at_first: tuple[str, datetime]
    bad: tuple[str, datetime]
    good: tuple[str, datetime]
    new_models: tuple[str, datetime]
    before: list[str]
    models_run: str
    runs: list[dict[str, Any]]
    ticks: list[dict[str, Any]]

    def of(self, commit: str) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["tags"].get("data_platform/commit") == commit]

    @property
    def served(self) -> float:
        """When the code server said that it serves the good commit, at the latest: its log has whole seconds."""
        said = _served(self.dev, self.good[0])
        assert said
        return datetime.fromisoformat(said[1]).timestamp() + 1


def _served(dev: DevServer, commit: str) -> re.Match[str] | None:
    """What the code server says, and when, as soon as it serves a commit."""
    return re.search(rf"^(\S+) {commit[:12]}, dbt .* is served", dev.log.read_text(), re.M)


def _runs(dev: DevServer) -> list[dict[str, Any]]:
    found = dev.graphql(RUNS)["runsOrError"]["results"]
    return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]


@pytest.fixture(scope="module")
def deploys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploys]:
    repositories = tmp_path_factory.mktemp("repositories")
    repository, dbt = CodeRepository(repositories), DbtRepository(repositories)
    at_first, _ = repository.push("As it was at first."), dbt.push_all("As it was at first.")
    folder = tmp_path_factory.mktemp("state")
    models = {"DATA_PLATFORM_DBT_URL": str(dbt.url), "DATA_PLATFORM_DBT_REF": "main"}
    cloud = private_cloud(folder / "cloud", runs_on="ecs", own=models)
    try:
        platform = Platform.on({**cloud.up(), **models})
        made = platform.command("data-platform", "schema", "apply", "--yes")
        assert made.returncode == 0, made.stdout + made.stderr
        planned = platform.command("data-platform", "schema", "plan")
        assert planned.stdout.count("matches its contract") == 14, planned.stdout
        dev = DevServer.start(platform, folder / "dev.log", "--git", str(repository.url), "--ref", "main")
        try:
            dev.wait_until_ready()
            dev.stop_schedules()
            dev.stop_sensor("marts_follow_raw")  # its runs would take turns with those that are launched below
            partner = Partner(platform, folder)
            try:
                _wait_for_run(dev, at_first[0])
                bad = repository.push("A commit that does not load.", broken=True)
                wait_for(lambda: f"commit {bad[0]} is refused" in dev.log.read_text(), patience(240), "it is refused")
                before = [dev.launch(*STATIONS) for _ in range(2)]  # models are built one run at a time: one waits
                wait_for(lambda: "STARTED" in _statuses(dev, before), patience(240), "a run is in flight")
                dev.graphql(LIMIT, limit=0)  # the one that waits does so until new code is served
                good = repository.push("As it is now.")
                wait_for(lambda: _served(dev, good[0]), patience(240), "the good commit is served")
                dev.graphql(LIMIT, limit=1)
                wait_for(lambda: "As it is now." in str(dev.graphql(SHOWN)), SHOWN_SECONDS, "the UI has it")
                _wait_for_run(dev, good[0])
                new_models = dbt.push("As of now.")
                models_run = dev.launch(*STATIONS)  # before the code server can have seen the push
                wait_for(lambda: len(partner.dropped) >= FILES, patience(4 * FILES * EVERY), "the partner delivers")
            finally:
                partner.stop()
            wait_for(lambda: _all_settled(dev, platform, len(partner.dropped)), patience(400), "every file is settled")
            by_hand, ended = [*before, models_run], {"SUCCESS", "FAILURE"}
            wait_for(lambda: _statuses(dev, by_hand) <= ended, patience(600), "the runs that were launched end")
            yield Deploys(
                platform=platform,
                dev=dev,
                partner=partner,
                at_first=at_first,
                bad=bad,
                good=good,
                new_models=new_models,
                before=before,
                models_run=models_run,
                runs=[run for run in _runs(dev) if run["status"] != "NOT_STARTED"],  # nothing is known of such
                ticks=dev.sensor("landing")["sensorState"]["ticks"],
            )
        finally:
            dev.stop()
    finally:
        cloud.down()


def _statuses(dev: DevServer, run_ids: list[str]) -> set[str]:
    return {run["status"] for run in _runs(dev) if run["runId"] in run_ids}


def _wait_for_run(dev: DevServer, commit: str) -> None:
    def succeeded() -> bool:
        return any(
            run["tags"].get("data_platform/commit") == commit and run["status"] == "SUCCESS" for run in _runs(dev)
        )

    wait_for(succeeded, patience(400), f"a run of {commit[:12]}", every=1)


def _all_settled(dev: DevServer, platform: Platform, files: int) -> bool:
    under_way = [run for run in _runs(dev) if run["status"] not in ("SUCCESS", "FAILURE", "CANCELED")]
    landing = [run for run in under_way if "data_platform/landing" in run["tags"]]
    return not landing and platform.number("SELECT COUNT(*) FROM PLATFORM.CURRENT_DELIVERIES") >= files


def _commits(run: dict[str, Any], label: str = "code_commit") -> set[str]:
    """The commits that a run's materializations name."""
    entries = [entry for event in run["eventConnection"]["events"] for entry in event.get("metadataEntries", ())]
    return {entry["text"] for entry in entries if entry["label"] == label}


def test_of_a_steady_load_nothing_is_lost_or_doubled(deploys: Deploys) -> None:
    dropped = deploys.partner.dropped
    assert len(dropped) >= FILES
    loaded = deploys.platform.query(
        "SELECT FILE_NAME, STATUS, ROWS_LOADED FROM PLATFORM.CURRENT_DELIVERIES ORDER BY FILE_NAME"
    )
    assert loaded == [(name, "loaded", 150) for name in sorted(dropped)]
    rows = deploys.platform.number("SELECT COUNT(*) FROM RAW_HARBOR_WATER.METER_READINGS")
    assert rows == 150 * len(dropped)


def test_no_run_failed_and_none_ran_the_bad_commit(deploys: Deploys) -> None:
    failed = [run for run in deploys.runs if run["status"] in ("FAILURE", "CANCELED")]
    assert not failed, [(run["jobName"], run["status"], deploys.dev.errors(run["runId"])) for run in failed]
    assert deploys.of(deploys.at_first[0]) and deploys.of(deploys.good[0])
    assert not deploys.of(deploys.bad[0])
    refused = [line for line in deploys.dev.log.read_text().splitlines() if "refused" in line]
    assert any(deploys.bad[0][:12] in line for line in refused), refused


def test_each_run_ran_the_commit_that_it_was_made_with(deploys: Deploys) -> None:
    told = {run["runId"]: _commits(run) for run in deploys.runs}
    assert sum(bool(commits) for commits in told.values()) >= 2
    for run in deploys.runs:
        assert told[run["runId"]] <= {run["tags"]["data_platform/commit"]}, run["runId"]


def test_a_run_in_flight_and_one_in_the_queue_keep_the_commit_of_before_the_push(deploys: Deploys) -> None:
    in_flight, queued = sorted(
        (run for run in deploys.runs if run["runId"] in deploys.before), key=lambda run: run["startTime"]
    )
    _, pushed = deploys.good
    assert in_flight["startTime"] < pushed.timestamp() < queued["startTime"]
    assert queued["endTime"] > deploys.served
    for run in (in_flight, queued):
        assert run["status"] == "SUCCESS"
        assert run["tags"]["data_platform/commit"] == deploys.at_first[0]
        assert _commits(run) == {deploys.at_first[0]}


def test_a_run_builds_the_models_that_were_there_when_it_started(deploys: Deploys) -> None:
    (run,) = (run for run in deploys.runs if run["runId"] == deploys.models_run)
    assert run["status"] == "SUCCESS"
    assert _commits(run, "dbt_commit") == {deploys.new_models[0]}
    assert _commits(run) == {deploys.good[0]}


def test_the_sensor_ticked_all_the_while(deploys: Deploys) -> None:
    ticked = sorted(tick["timestamp"] for tick in deploys.ticks)
    assert ticked[0] < deploys.bad[1].timestamp() and deploys.new_models[1].timestamp() < ticked[-1]
    assert {tick["status"] for tick in deploys.ticks} <= {"SUCCESS", "SKIPPED", "STARTED"}
    gaps = [after - before for before, after in pairwise(ticked)]
    assert max(gaps) < GAP_SECONDS * deploys.partner.slowness, gaps


def test_new_code_is_served_within_half_a_minute_of_its_push(
    deploys: Deploys, record_property: pytest.RecordProperty
) -> None:
    commit, pushed = deploys.good
    served = deploys.served - pushed.timestamp()
    begun = min(run["startTime"] for run in deploys.of(commit) if run["startTime"]) - pushed.timestamp()
    record_property("seconds from push to new code being served", round(served, 1))
    record_property("seconds from push to the first run on new code", round(begun, 1))
    limit = SERVED_SECONDS * deploys.partner.slowness
    print(f"from the push: served after {served:.1f} s (limit {limit:.0f} s), run after {begun:.1f} s")
    assert served <= limit
