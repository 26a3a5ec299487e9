"""Dagster as it runs in production, a process each: code server, daemon, webserver. Runs are tasks of the local ECS,
which the instance's own launcher starts. Nothing here asserts what a test is about."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import psutil
import yaml

from data_platform.environment.machine import machine_environment
from data_platform.local_cloud.ecs.faults import Fault, Faults
from data_platform.local_cloud.ecs.images import LocalImage, register
from data_platform.local_cloud.layout import Layout
from data_platform_tests.end_to_end import graphql
from data_platform_tests.end_to_end.platform import BIN, ROOT, patience, wait_for
from data_platform_tests.servers.ports import own_port

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)

TERMINATE = """
mutation($run: String!) {terminateRun(runId: $run) {__typename ... on TerminateRunFailure {message}}}
"""
READY = """
{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename ... on PythonError {message}}}}}
 instance {daemonHealth {queue: daemonStatus(daemonType: "QUEUED_RUN_COORDINATOR") {healthy}
                         monitoring: daemonStatus(daemonType: "MONITORING") {healthy}}}}
"""


@dataclass
class Fleet:
    """The processes, on a local cloud whose runs are tasks. `module`: the code location; `image`: what its runs are.
    `start_seconds`: how long a run may take to start."""

    cloud: Mapping[str, str] = field(repr=False)
    folder: Path
    module: str
    image: str = "fleet:1"
    ports: dict[str, int] = field(default_factory=lambda: {name: own_port() for name in ("code", "webserver")})
    processes: dict[str, psutil.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home, self.marks = self.folder / "home", self.folder / "marks"
        for folder in (self.home, self.marks):
            folder.mkdir(parents=True)
        instance = yaml.safe_load((Path(self.cloud["DAGSTER_HOME"]) / "dagster.yaml").read_text())
        # What production waits minutes for, tests can't.
        self.start_seconds = int(patience(60))
        instance["run_monitoring"] |= {"poll_interval_seconds": 2, "start_timeout_seconds": self.start_seconds}
        instance["compute_logs"]["config"]["upload_interval"] = 3
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        server = {"host": "127.0.0.1", "port": self.ports["code"], "location_name": "fleet"}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        self.faults = Faults.of(Path(self.cloud["DATA_PLATFORM_STATE_DIR"]))
        self.use_image(self.image)

    def use_image(self, image: str) -> None:
        """Makes an image known that is this checkout. Code servers that are started from now on have it for runs."""
        layout = Layout.at(Path(self.cloud["DATA_PLATFORM_STATE_DIR"]))
        python = {"PATH": f"{BIN}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        register(layout.root / "images", image, LocalImage((), str(ROOT), {**python, "MARKS": str(self.marks)}))
        self.image = image

    @property
    def environment(self) -> dict[str, str]:
        """Of all the processes."""
        own = {"DAGSTER_HOME": str(self.home), "DAGSTER_CURRENT_IMAGE": self.image, "MARKS": str(self.marks)}
        return {**machine_environment(), **self.cloud, **own, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}

    def start(self, *names: str) -> None:
        """Starts those, or all, and waits until the whole answers."""
        workspace = ("-w", str(self.folder / "workspace.yaml"))
        grpc = ("api", "grpc", "--module-name", self.module, "--host", "127.0.0.1", "--port", str(self.ports["code"]))
        commands: dict[str, Sequence[str]] = {
            "code": ("dagster", *grpc),
            "daemon": ("dagster-daemon", "run", *workspace),
            "webserver": (
                "dagster-webserver",
                *workspace,
                "--host",
                "127.0.0.1",
                "--port",
                str(self.ports["webserver"]),
            ),
        }
        for name in names or commands:
            with (self.folder / f"{name}.log").open("ab") as output:
                self.processes[name] = psutil.Popen(
                    [str(BIN / commands[name][0]), *commands[name][1:]],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        wait_for(self._ready, patience(240), "the fleet is up")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends one, with all that it started, and waits until it has ended."""
        process = self.processes.pop(name)
        family = [process, *process.children(recursive=True)]
        process.send_signal(how)
        if how == signal.SIGKILL:
            for child in family[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has ended with its parent
                    child.kill()
        _, alive = psutil.wait_procs(family, timeout=patience(90))
        assert not alive, f"{name} did not end"

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself, which `_ready` reports
                for each in (*process.children(recursive=True), process):
                    each.kill()
        for process in self.processes.values():
            process.wait()

    def _ready(self) -> bool:
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name}: {(self.folder / f'{name}.log').read_text()[-3000:]}"
        try:
            found = self.graphql(READY)
        except OSError:
            return False
        entries = [entry["locationOrLoadError"] for entry in found["workspaceOrError"]["locationEntries"]]
        health = found["instance"]["daemonHealth"]
        loaded = entries and all(entry and entry["__typename"] != "PythonError" for entry in entries)
        return bool(loaded and health["queue"]["healthy"] and health["monitoring"]["healthy"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['webserver']}"

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """A query's data."""
        return graphql.ask(self.url, query, **variables)

    def launch(self, *assets: str, tags: Mapping[str, str] | None = None) -> str:
        """Launches a run of these assets, as the UI does. Returns its id."""
        return graphql.launch(self.url, "fleet", graphql.ASSET_JOB, [[asset] for asset in assets], tags)

    def terminate(self, run_id: str) -> None:
        """Ends a run, as the UI's button does."""
        answer = self.graphql(TERMINATE, run=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The instance, in this process."""
        needed = {name: value for name, value in self.environment.items() if name.startswith(_FOR_INSTANCE)}
        with _variables(needed), dg.DagsterInstance.from_config(str(self.home)) as found:
            yield found

    def ended(self, run_id: str, seconds: float = 240) -> dg.DagsterRun:
        """The run, when it has ended."""

        def look() -> dg.DagsterRun | None:
            run = instance.get_run_by_id(run_id)
            return run if run is not None and run.status in ENDED else None

        with self.instance() as instance:
            return wait_for(look, patience(seconds), f"run {run_id} ends: {self.told(run_id)[-5:]}")

    def retried(self, run: dg.DagsterRun, seconds: float = 240) -> dg.DagsterRun:
        """The retry of a failed run, when it has ended."""

        def look() -> str | None:
            found = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))
            return found[0].run_id if found else None

        with self.instance() as instance:
            retry = wait_for(look, patience(180), f"run {run.run_id} is retried")
        return self.ended(retry, seconds)

    def told(self, run_id: str) -> list[str]:
        """All that the run's event log says, in order."""
        with self.instance() as instance:
            return [f"{entry.user_message} {entry.message}" for entry in instance.all_logs(run_id)]

    def ran(self, asset: str) -> list[tuple[str, int]]:
        """(run id, process id) of each time that the asset ran, in order."""
        marks = sorted((self.marks / asset).glob("*-*"), key=lambda path: int(path.name.split("-")[0]))
        return [(mark.name.split("-", 1)[1], int(mark.read_text() or 0)) for mark in marks]

    def running(self, asset: str, run_id: str) -> int:
        """The process id of the asset's task in that run, once it runs."""

        def look() -> int | None:
            return next((pid for run, pid in self.ran(asset) if run == run_id and pid), None)

        return wait_for(look, patience(240), f"{asset} runs")

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """What ECS knows of the run's tasks."""
        arns = {  # one that ends between the two listings is in both
            arn
            for status in ("RUNNING", "STOPPED")
            for page in self.ecs.get_paginator("list_tasks").paginate(cluster=self.cluster, desiredStatus=status)
            for arn in page["taskArns"]
        }
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=sorted(arns))["tasks"] if arns else []
        return [dict(task) for task in found if task["startedBy"] == run_id]

    @property
    def cluster(self) -> str:
        return self.cloud["DATA_PLATFORM_ECS_CLUSTER"]

    @property
    def ecs(self) -> Any:
        return self._aws("ecs")

    def _aws(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud["AWS_ENDPOINT_URL"],
            region_name=self.cloud["AWS_REGION"],
            aws_access_key_id=self.cloud["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.cloud["AWS_SECRET_ACCESS_KEY"],
        )

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """The objects below a prefix."""
        return [
            each["Key"] for each in self._aws("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        ]

    def suffers(self, *faults: Fault) -> None:
        """What is to go wrong from now on."""
        self.faults.add(*faults)


_FOR_INSTANCE = ("DAGSTER_", "AWS_")


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
