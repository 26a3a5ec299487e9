"""An AWS part of a test's own, without the rest of the local cloud, and a small image to run on its ECS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from data_platform.local_cloud import aws, processes
from data_platform.local_cloud.ecs.faults import Faults
from data_platform.local_cloud.ecs.images import LocalImage, register
from data_platform.local_cloud.layout import Layout
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.servers.ports import own_port

IMAGE, CLUSTER, GROUP, ROLE = "tests:small", "tests", "/tests/tasks", "arn:aws:iam::000000000000:role/tests"
SECONDS = 120.0


class Server:
    """A local AWS. `run` launches a task of Python code and returns its ARN; `stopped` waits for its end."""

    def __init__(self, state: Path) -> None:
        self.layout = Layout.at(state)
        self.layout.make()
        port, sftp = own_port(), own_port()
        # Nobody inherits what a test's own environment holds.
        self.part = aws.part(self.layout, port, sftp)
        self.part = replace(self.part, environment={**self.part.environment, "PLANTED_IN_SERVER": "planted"})
        self.endpoint = f"http://127.0.0.1:{port}"
        self.faults = Faults.of(state)
        register(self.images, IMAGE, LocalImage((sys.executable,), str(state), {"FROM_IMAGE": "image"}))

    @property
    def images(self) -> Path:
        return self.layout.root / "images"

    def start(self) -> None:
        record = processes.start(self.part, self.layout)
        processes.wait_until_ready(self.part, record, seconds=180)
        process = record.process()
        assert process is not None
        self.process = process

    def stop(self) -> None:
        processes.stop(self.process, first=self.part.stop_signal)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def client(self, service: str, config: Config | None = None) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.endpoint,
            region_name=aws.REGION,
            aws_access_key_id=aws.CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=aws.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=config,
        )

    def provision(self) -> None:
        self.client("ecs").create_cluster(clusterName=CLUSTER, capacityProviders=["FARGATE", "FARGATE_SPOT"])
        self.client("logs").create_log_group(logGroupName=GROUP)

    def define(self, family: str = "tests", **changes: Any) -> str:
        """Registers a definition with one container, `run`; `changes` to the container, or `task` to the rest."""
        rest = changes.pop("task", {})
        options = {"awslogs-group": GROUP, "awslogs-region": aws.REGION, "awslogs-stream-prefix": family}
        container = {
            "name": "run",
            "image": IMAGE,
            "logConfiguration": {"logDriver": "awslogs", "options": options},
            **changes,
        }
        definition = {
            "family": family,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": ROLE,
            "containerDefinitions": [container],
            **rest,
        }
        self.client("ecs").register_task_definition(**definition)
        return family

    def request(self, code: str, family: str = "tests", **changes: Any) -> dict[str, Any]:
        overrides = {"containerOverrides": [{"name": "run", "command": ["-c", code], **changes.pop("container", {})}]}
        return {
            "cluster": CLUSTER,
            "taskDefinition": family,
            "launchType": "FARGATE",
            "networkConfiguration": {
                "awsvpcConfiguration": {"subnets": ["subnet-00000001"], "securityGroups": ["sg-00000001"]}
            },
            "overrides": {**overrides, **changes.pop("overrides", {})},
            **changes,
        }

    def run(self, code: str, family: str = "tests", **changes: Any) -> str:
        answer = self.client("ecs").run_task(**self.request(code, family, **changes))
        assert not answer["failures"], answer["failures"]
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    def task(self, arn: str) -> dict[str, Any]:
        described: list[dict[str, Any]] = self.client("ecs").describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"]
        return described[0]

    def until(self, arn: str, status: str, seconds: float = SECONDS) -> dict[str, Any]:
        return until_status(self.client("ecs"), CLUSTER, arn, status, seconds)

    def stopped(self, arn: str, seconds: float = SECONDS) -> dict[str, Any]:
        return self.until(arn, "STOPPED", seconds)

    def lines(self, arn: str, family: str = "tests") -> list[str]:
        stream = f"{family}/run/{arn.rsplit('/', 1)[-1]}"
        events = self.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"]
        return [event["message"] for event in events]

    def said(self, arn: str, line: str, seconds: float = SECONDS) -> None:
        """Waits until a task has said so."""
        path = self.layout.root / "logs" / "tasks" / f"{arn.rsplit('/', 1)[-1]}-run.log"

        def said() -> bool:
            return path.exists() and line in path.read_text().splitlines()

        wait_for(said, seconds, f"{line!r} is said", every=0.02)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A started server of its own, with what tasks need."""
    server = Server(folder)
    server.start()
    try:
        server.provision()
        server.define()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("ecs")) as server:
        yield server


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    """A running server without faults."""
    yield started
    started.faults.clear()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pids: list[int], seconds: float) -> bool:
    try:
        return wait_for(lambda: not any(map(alive, pids)), seconds, "they are gone", every=0.02)
    except AssertionError:
        return False


def until_status(ecs: Any, cluster: str, arn: str, status: str, seconds: float = SECONDS) -> dict[str, Any]:
    """The task as soon as it has that status."""

    def look() -> dict[str, Any] | None:
        task: dict[str, Any] = ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]
        return task if task["lastStatus"] == status else None

    return wait_for(look, seconds, f"the task {arn} is {status}", every=0.02)
