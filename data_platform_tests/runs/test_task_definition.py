"""A run gets exactly the task definition of its code and environment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dagster_aws.ecs.container_context import EcsContainerContext

from data_platform.runs.launcher import FargateRunLauncher
from data_platform.runs.task_definition import definition_of, registered

CONTEXT = EcsContainerContext(
    env_vars=["DATA_PLATFORM_ENVIRONMENT=local"],
    secrets=[{"name": "TOKEN", "valueFrom": "arn:token"}],
    run_resources={"cpu": "1024", "memory": "2048"},
    task_role_arn="arn:run",
)
IMAGE = "data-platform@sha256:1"


def launcher(**task_definition: Any) -> FargateRunLauncher:
    return FargateRunLauncher(task_definition={"log_group": "/dev/runs", **task_definition}, secrets_tag=None)


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_a_run_has_two_minutes_to_end_and_logs_to_its_group() -> None:
    definition = definition_of(launcher(linux_parameters={"initProcessEnabled": True}), "job", IMAGE, CONTEXT)
    (container,) = definition["containerDefinitions"]
    assert container["stopTimeout"] == 120
    assert container["linuxParameters"] == {"initProcessEnabled": True}
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/dev/runs"
    assert container["secrets"] == [{"name": "TOKEN", "valueFrom": "arn:token"}]
    assert {"name": "DAGSTER_RUN_JOB_NAME", "value": "job"} in container["environment"]
    assert definition["taskRoleArn"] == "arn:run"


def test_the_family_begins_with_the_environment_and_ends_with_the_content() -> None:
    def family(image: str = IMAGE, context: EcsContainerContext = CONTEXT, **task_definition: Any) -> str:
        return str(definition_of(launcher(**task_definition), "job", image, context)["family"])

    first = family()
    assert first.startswith("data-platform-local_job_")
    assert family() == first
    others = {
        family(log_group="/prod/runs"),
        family(linux_parameters={"initProcessEnabled": True}),
        family(image="data-platform@sha256:2"),
        family(context=CONTEXT._replace(task_role_arn="arn:other")),
        family(context=CONTEXT._replace(env_vars=["DATA_PLATFORM_ENVIRONMENT=dev"])),
    }
    assert len(others | {first}) == 6


class Ecs:
    """Describes and registers task definitions."""

    def __init__(self, code: str | None = None) -> None:
        self.registered: list[str] = []
        self.code = code

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "DescribeTaskDefinition")
        return {"taskDefinition": {"taskDefinitionArn": f"arn:{taskDefinition}:1"}}

    def register_task_definition(self, **definition: Any) -> dict[str, Any]:
        self.registered.append(definition["family"])
        return {"taskDefinition": {"taskDefinitionArn": f"arn:{definition['family']}:1"}}


def test_a_definition_is_registered_once_and_run_by_its_arn() -> None:
    known, new = Ecs(), Ecs("ClientException")
    assert registered(known, {"family": "f"}) == registered(new, {"family": "f"}) == "arn:f:1"
    assert (known.registered, new.registered) == ([], ["f"])


def test_a_throttled_look_registers_nothing() -> None:
    throttled = Ecs("ThrottlingException")
    with pytest.raises(ClientError):
        registered(throttled, {"family": "f"})
    assert throttled.registered == []


def test_a_run_of_code_without_an_image_says_what_to_set() -> None:
    from data_platform.runs.task_definition import NoImage, with_definition

    run: Any = SimpleNamespace(run_id="r", job_code_origin=None)
    with pytest.raises(NoImage, match="DAGSTER_CURRENT_IMAGE"):
        with_definition(launcher(), run)
