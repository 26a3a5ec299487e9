"""What RunTask and RegisterTaskDefinition take and refuse, in AWS's words, and the faults that can be asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from data_platform.local_cloud.ecs.faults import Fault, Faults, FaultsUnreadable
from data_platform.local_cloud.ecs.sizes import MEMORY_OF_CPU
from data_platform_tests.local_cloud.ecs.conftest import CLUSTER, ROLE, Server

pytestmark = pytest.mark.server

SLEEP = "import time; print('up', flush=True); time.sleep(300)"


def refusal(server: Server, request: Mapping[str, Any], operation: str = "run_task") -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        getattr(server.client("ecs", Config(retries={"total_max_attempts": 1})), operation)(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(("cpu", "memory"), [("256", "4096"), ("300", "512"), ("512", "1536"), ("16384", "33792")])
def test_fargate_has_certain_sizes_only(server: Server, cpu: str, memory: str) -> None:
    definition = {
        "family": "refused",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": cpu,
        "memory": memory,
        "containerDefinitions": [{"name": "run", "image": "tests:small"}],
    }
    code, message = refusal(server, definition, "register_task_definition")
    assert code == "ClientException"
    assert message.startswith("No Fargate configuration exists for given values")
    code, message = refusal(server, server.request("pass", overrides={"cpu": cpu, "memory": memory}))
    assert code == "ClientException"
    assert message.startswith("No Fargate configuration exists for given values")


def test_every_size_of_fargate_is_taken(server: Server) -> None:
    for cpu, memories in MEMORY_OF_CPU.items():
        for memory in (memories[0], memories[-1]):
            server.define("sized", task={"cpu": str(cpu), "memory": str(memory)})
    server.define("sized", task={"cpu": "1 vCPU", "memory": "2 GB"})


def test_fargate_writes_logs_and_fetches_secrets_with_the_execution_role_only(server: Server) -> None:
    with pytest.raises(ClientError, match="execution role ARN to support log driver awslogs"):
        server.define("roleless", task={"executionRoleArn": ""})
    assert server.define("with-role", task={"executionRoleArn": ROLE}) == "with-role"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"cluster": "other"}, "ClusterNotFoundException", "Cluster not found."),
        ({"taskDefinition": "other"}, "ClientException", "TaskDefinition not found."),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}},
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-none"]}}},
            "InvalidParameterException",
            "Error retrieving subnet information for [subnet-none]",
        ),
        (
            {
                "networkConfiguration": {
                    "awsvpcConfiguration": {"subnets": ["subnet-00000001"], "securityGroups": ["x"]}
                }
            },
            "InvalidParameterException",
            "Error retrieving security group information for [x]",
        ),
        ({"launchType": "EC2"}, "InvalidParameterException", "No Container Instances were found in your cluster."),
        (
            {"overrides": {"containerOverrides": [{"name": "run", "command": ["x" * 8200]}]}},
            "InvalidParameterException",
            "Container Overrides length must be at most 8192",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "other"}]}},
            "InvalidParameterException",
            "Override for container named other is not a container in the TaskDefinition.",
        ),
    ],
)
def test_run_task_is_refused_as_aws_does(server: Server, change: dict[str, Any], code: str, message: str) -> None:
    assert refusal(server, {**server.request("pass"), **change})[0] == code
    assert refusal(server, {**server.request("pass"), **change})[1].startswith(message)


def test_a_capacity_provider_must_be_the_clusters(server: Server) -> None:
    request = server.request("pass", capacityProviderStrategy=[{"capacityProvider": "other"}])
    del request["launchType"]
    code, message = refusal(server, request)
    assert code == "InvalidParameterException"
    assert "not associated with the cluster" in message


def test_the_same_client_token_launches_one_task(server: Server) -> None:
    request = {**server.request("pass"), "clientToken": "once", "startedBy": "first"}
    first = server.client("ecs").run_task(**request)["tasks"][0]["taskArn"]
    assert server.client("ecs").run_task(**request)["tasks"][0]["taskArn"] == first
    with pytest.raises(ClientError) as refused:
        server.client("ecs").run_task(**{**request, "startedBy": "second"})
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    answer: Mapping[str, Any] = dict(refused.value.response)
    assert answer["resourceIds"] == [first]
    other = server.client("ecs").run_task(**{**request, "clientToken": "another"})["tasks"][0]["taskArn"]
    assert other != first
    assert server.stopped(first)["startedBy"] == "first"


def test_tasks_are_listed_by_who_started_them(server: Server) -> None:
    arn = server.run(SLEEP, startedBy="a-run")
    server.run("pass", startedBy="another")
    listed = server.client("ecs").list_tasks(cluster=CLUSTER, startedBy="a-run")["taskArns"]
    assert listed == [arn]
    server.client("ecs").stop_task(cluster=CLUSTER, task=arn)
    server.stopped(arn)
    assert server.client("ecs").list_tasks(cluster=CLUSTER, startedBy="a-run")["taskArns"] == []
    assert arn in server.client("ecs").list_tasks(cluster=CLUSTER, desiredStatus="STOPPED")["taskArns"]
    both = {"cluster": CLUSTER, "startedBy": "a-run", "desiredStatus": "STOPPED"}
    assert refusal(server, both, "list_tasks")[0] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "tests:missing"}, "CannotPullContainerError: "),
        ({"entryPoint": ["no-such-program"]}, "CannotStartContainerError: "),
        ({"workingDirectory": "/no/such/folder"}, "CannotStartContainerError: "),
        (
            {"secrets": [{"name": "S", "valueFrom": "arn:aws:secretsmanager:us-east-1:000000000000:secret:none"}]},
            "ResourceInitializationError: unable to pull secrets or registry auth: ",
        ),
        (
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/none"}}},
            "ResourceInitializationError: failed to validate logger args: ",
        ),
    ],
)
def test_what_cannot_start_says_why(server: Server, changes: dict[str, Any], reason: str) -> None:
    server.define("unstartable", **changes)
    task = server.stopped(server.run("pass", "unstartable"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(reason)
    assert task["containers"][0]["reason"] == task["stoppedReason"]
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


def test_run_task_is_throttled_when_asked_for(server: Server) -> None:
    server.faults.add(Fault("throttling", times=2))
    for _ in range(2):
        assert refusal(server, server.request("pass")) == ("ThrottlingException", "Rate exceeded")
    assert server.stopped(server.run("pass"))["containers"][0]["exitCode"] == 0
    assert server.faults.left() == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("failure", reason="RESOURCE:MEMORY"), "RESOURCE:MEMORY"),
        (
            Fault("capacity"),
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        ),
        (Fault("vcpu_limit"), "You've reached the limit on the number of vCPUs you can run concurrently"),
    ],
)
def test_a_launch_fails_for_want_of_capacity_when_asked_for(server: Server, fault: Fault, reason: str) -> None:
    server.faults.add(fault)
    answer = server.client("ecs").run_task(**server.request("pass"))
    assert answer["tasks"] == []
    assert [failure["reason"] for failure in answer["failures"]] == [reason]
    assert server.faults.left() == []


def test_a_task_that_never_starts_stays_pending_until_it_is_stopped(server: Server) -> None:
    server.faults.add(Fault("never_start"))
    arn = server.run("pass")
    server.until(arn, "PENDING")
    time.sleep(0.5)
    assert server.task(arn)["lastStatus"] == "PENDING"
    server.client("ecs").stop_task(cluster=CLUSTER, task=arn, reason="it never started")
    task = server.stopped(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "it never started")
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


def test_a_cold_start_takes_as_long_as_asked_for(server: Server) -> None:
    server.faults.add(Fault("cold_start", seconds=1.0))
    task = server.stopped(server.run("pass"))
    assert (task["startedAt"] - task["createdAt"]).total_seconds() >= 1.0
    assert task["containers"][0]["exitCode"] == 0


def test_an_image_cannot_be_pulled_when_asked_for(server: Server) -> None:
    server.faults.add(Fault("start_failure"))
    task = server.stopped(server.run("pass"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert task["stoppedReason"].endswith("i/o timeout")


def test_a_fault_may_name_its_task(server: Server) -> None:
    server.faults.add(Fault("never_start", task="the-run"), Fault("throttling", task="other-family"))
    assert server.stopped(server.run("pass"))["containers"][0]["exitCode"] == 0
    arn = server.run("pass", tags=[{"key": "dagster/run_id", "value": "the-run"}])
    server.until(arn, "PENDING")
    assert [fault.kind for fault in server.faults.left()] == ["throttling"]
    server.client("ecs").stop_task(cluster=CLUSTER, task=arn)
    server.stopped(arn)


def test_a_file_of_faults_that_is_wrong_is_said_so(server: Server) -> None:
    server.faults.path.write_text(json.dumps({"faults": [{"kind": "earthquake"}]}))
    try:
        with pytest.raises(FaultsUnreadable, match="earthquake"):
            server.faults.left()
        code, message = refusal(server, server.request("pass"))
        assert code == "ServerException"
        assert "earthquake" in message
    finally:
        server.faults.path.unlink()
    assert Faults(server.faults.path).left() == []
