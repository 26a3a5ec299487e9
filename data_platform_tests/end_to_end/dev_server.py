"""`data-platform dev` as a process: started, asked over GraphQL, and ended as Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from data_platform_tests.end_to_end import graphql
from data_platform_tests.end_to_end.platform import BIN, ROOT, Platform, patience, wait_for
from data_platform_tests.end_to_end.project import environment
from data_platform_tests.servers.ports import own_port

SENSOR = """query($name: String!) {sensorOrError(sensorSelector: {repositoryLocationName: "data_platform",
    repositoryName: "__repository__", sensorName: $name}) {
    ... on Sensor {id sensorState {ticks(limit: 200) {timestamp status}}}}}"""
STOP_SENSOR = """mutation($id: String!) {stopSensor(id: $id) {
    ... on StopSensorMutationResult {instigationState {status}} ... on PythonError {message}}}"""


TOLD = """query($run: ID!) {logsForRun(runId: $run) {... on EventConnection {events {
    ... on MessageEvent {eventType message} ... on ErrorEvent {error {message cause {message}}}}}}}"""
SCHEDULES = """{repositoryOrError(repositorySelector: {repositoryLocationName: "data_platform",
    repositoryName: "__repository__"}) {... on Repository {schedules {id name}}}}"""
STOP_SCHEDULE = """mutation($id: String!) {stopRunningSchedule(id: $id) {
    ... on ScheduleStateResult {scheduleState {status}} ... on PythonError {message}}}"""


@dataclass
class DevServer:
    """A running `data-platform dev`."""

    port: int
    process: psutil.Popen
    log: Path

    @classmethod
    def start(cls, platform: Platform, log: Path, *options: str, project: Path = ROOT) -> DevServer:
        """Starts it on a free port, with more options; its output goes to `log`. `project`: the checkout, or a copy."""
        port = own_port()
        with log.open("wb") as output:
            process = psutil.Popen(
                [str(BIN / "data-platform"), "dev", "--port", str(port), *options],
                cwd=project,
                env=platform.child_environment | ({} if project == ROOT else environment(project)),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(port, process, log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """A query's data. Raises AssertionError with the errors."""
        return graphql.ask(self.url, query, **variables)

    def launch(self, *assets: Sequence[str]) -> str:
        """Launches a run of these assets, as the UI does. Returns its id."""
        return graphql.launch(self.url, "data_platform", graphql.ASSET_JOB, assets)

    def errors(self, run_id: str) -> list[str]:
        """What the failures in a run's event log say."""
        events = self.graphql(TOLD, run=run_id)["logsForRun"].get("events", ())
        return [str(event) for event in events if event.get("error") or "FAIL" in str(event.get("eventType"))]

    def sensor(self, name: str) -> dict[str, Any]:
        """A sensor: its id, and its state with the latest ticks."""
        found: dict[str, Any] = self.graphql(SENSOR, name=name)["sensorOrError"]
        return found

    def stop_sensor(self, name: str) -> None:
        """Switches a sensor off, once it has ticked."""

        def ticked() -> bool:  # not amid its first tick, when the daemon writes its state too
            return any(tick["status"] != "STARTED" for tick in self.sensor(name)["sensorState"]["ticks"])

        wait_for(ticked, patience(240), f"{name} has ticked")
        stopped = self.graphql(STOP_SENSOR, id=self.sensor(name)["id"])["stopSensor"]
        assert stopped == {"instigationState": {"status": "STOPPED"}}, stopped

    def stop_schedules(self) -> None:
        """Switches the schedules off, for a test that the time of day must not change: what it looks at would else
        hold their runs too."""
        for schedule in self.graphql(SCHEDULES)["repositoryOrError"]["schedules"]:
            stopped = self.graphql(STOP_SCHEDULE, id=schedule["id"])["stopRunningSchedule"]
            assert stopped == {"scheduleState": {"status": "STOPPED"}}, (schedule["name"], stopped)

    def wait_until_ready(self) -> None:
        """Waits until the code location is loaded and the daemon reports."""

        seen: list[Any] = []

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                found = self.graphql(
                    "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename"
                    " ... on PythonError {message}}}}}"
                    ' instance {daemonHealth {sensor: daemonStatus(daemonType: "SENSOR") {healthy}}}}'
                )
            except OSError:
                return False
            entries = found["workspaceOrError"]["locationEntries"]
            loaded = [entry["locationOrLoadError"] for entry in entries if entry["locationOrLoadError"]]
            seen[:] = loaded
            healthy = found["instance"]["daemonHealth"]["sensor"]["healthy"]
            return bool(loaded) and bool(healthy) and all(one["__typename"] != "PythonError" for one in loaded)

        try:
            wait_for(ready, patience(240), "dagster dev answers")
        except AssertionError as late:
            raise AssertionError(f"{late}; the code location: {seen}") from None

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        return [psutil.Process(self.process.pid), *self.process.children(recursive=True)]

    def stop(self) -> list[psutil.Process]:
        """Ends it by Ctrl-C's signal. Returns what of it still lived after a while (and kills that)."""
        if self.process.poll() is not None:
            return []
        family = self.family()
        self.process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(family, timeout=patience(90))
        for left in alive:
            left.kill()
        return list(alive)
