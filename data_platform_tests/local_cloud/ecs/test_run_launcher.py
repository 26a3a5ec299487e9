"""Dagster's own `EcsRunLauncher`, against the local ECS: its runs are tasks, and really execute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from data_platform.local_cloud import aws
from data_platform.local_cloud.ecs.images import LocalImage, register
from data_platform_tests.dagster_internals import WITHOUT_QUEUE
from data_platform_tests.local_cloud.ecs.conftest import CLUSTER, GROUP, ROLE, Server

pytestmark = pytest.mark.server

CODE = """
import os
import time
import dagster as dg

@dg.op
def work(context):
    os.write(1, f"printed by {os.environ['WHO']}\\n".encode())  # at once: what runs beside it writes there too
    if seconds := context.run.tags.get("seconds"):
        time.sleep(float(seconds))

@dg.job
def tiny():
    work()
"""

INSTANCE = {
    "run_coordinator": WITHOUT_QUEUE,
    "run_launcher": {
        "module": "dagster_aws.ecs",
        "class": "EcsRunLauncher",
        "config": {
            "use_current_ecs_task_config": False,
            "secrets_tag": None,
            "task_definition": {
                "log_group": GROUP,
                "execution_role_arn": ROLE,
                "task_role_arn": ROLE,
                "requires_compatibilities": ["FARGATE"],
            },
            "run_task_kwargs": {
                "cluster": CLUSTER,
                "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
                "networkConfiguration": {
                    "awsvpcConfiguration": {
                        "subnets": ["subnet-00000001"],
                        "securityGroups": ["sg-00000001"],
                        "assignPublicIp": "DISABLED",
                    }
                },
            },
        },
    },
    "telemetry": {"enabled": False},
}


class Dagster:
    """An instance whose launcher is ECS's, and the command line that launches runs."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text(json.dumps(INSTANCE))
        (folder / "tiny_code.py").write_text(CODE)
        dagster = str(Path(sys.executable).with_name("dagster"))
        self.command = dagster
        image = LocalImage((), str(folder), {"PATH": f"{Path(dagster).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"})
        register(server.images, "tiny:1", image)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DAGSTER_HOME": str(self.home),
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_DEFAULT_REGION": aws.REGION,
            **aws.CREDENTIALS,
            "DAGSTER_CURRENT_IMAGE": "tiny:1",
            "DAGSTER_CONTAINER_CONTEXT": json.dumps(
                {"ecs": {"env_vars": ["WHO=the container"], "run_resources": {"cpu": "512", "memory": "2048"}}}
            ),
        }

    def launch(self, **tags: str) -> str:
        """Launches the job and returns the run's id."""
        command = [self.command, "job", "launch", "-f", "tiny_code.py", "-j", "tiny", "--tags", json.dumps(tags)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        with self.instance() as instance:
            return instance.get_runs(limit=1)[0].run_id

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.get()


@pytest.fixture
def dagster(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    made = Dagster(server, tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made


def test_a_run_is_a_task_that_really_executes(server: Server, dagster: Dagster) -> None:
    run_id = dagster.launch()
    with dagster.instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        arn = run.tags["ecs/task_arn"]
        task = server.stopped(arn, 240)
        assert task["containers"][0]["exitCode"] == 0
        assert (task["cpu"], task["memory"], task["capacityProviderName"]) == ("512", "2048", "FARGATE_SPOT")
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
        family = task["taskDefinitionArn"].rsplit("/", 1)[-1].rsplit(":", 1)[0]
        assert "printed by the container" in server.lines(arn, family)
