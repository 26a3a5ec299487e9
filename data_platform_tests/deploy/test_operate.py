"""One-off tasks: what ECS is asked for, and what the caller learns. That ECS does it is seen on an account only."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from deploy.environment import FOLDER, read
from deploy.operate import Clients, OperateFailed, run

DEV = read(FOLDER / "dev.yaml")
ARN = "arn:aws:ecs:us-east-1:111111111111:task/data-platform-dev/0a1b"


@pytest.fixture
def clients() -> Clients:
    found = Clients(MagicMock(), MagicMock(), MagicMock())
    outputs = [{"OutputKey": "operatenetwork", "OutputValue": "subnet-a,subnet-b;sg-run,sg-operate"}]
    found.cloudformation.describe_stacks.return_value = {"Stacks": [{"Outputs": outputs}]}
    found.ecs.run_task.return_value = {"tasks": [{"taskArn": ARN}], "failures": []}
    ended(found, {"exitCode": 3})
    found.logs.get_log_events.side_effect = [
        {"events": [{"message": "one"}], "nextForwardToken": "f/1"},
        {"events": [{"message": "two"}], "nextForwardToken": "f/2"},
        {"events": [], "nextForwardToken": "f/2"},
    ]
    return found


def ended(clients: Clients, container: dict[str, Any], **task: str) -> None:
    clients.ecs.describe_tasks.return_value = {"tasks": [{"containers": [container], **task}]}


def test_the_command_runs_in_the_environments_subnets_and_its_output_and_exit_code_come_back(clients: Clients) -> None:
    code, lines = run(DEV, clients, ["data-platform", "doctor"])
    assert (code, list(lines)) == (3, ["one", "two"])
    asked = clients.ecs.run_task.call_args.kwargs
    assert asked["taskDefinition"] == "data-platform-dev-operate"
    assert asked["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-a", "subnet-b"],
        "securityGroups": ["sg-run", "sg-operate"],
        "assignPublicIp": "DISABLED",
    }
    (override,) = asked["overrides"]["containerOverrides"]
    assert override == {"name": "operate", "command": ["data-platform", "doctor"]}
    assert clients.logs.get_log_events.call_args.kwargs["logStreamName"] == "operate/operate/0a1b"


def test_a_task_that_does_not_start_says_why(clients: Clients) -> None:
    clients.ecs.run_task.return_value = {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time"}]}
    with pytest.raises(OperateFailed, match="Capacity is unavailable"):
        run(DEV, clients, ["true"])
    clients.ecs.run_task.return_value = {"tasks": [{"taskArn": ARN}], "failures": []}
    ended(clients, {}, stoppedReason="CannotPullContainerError: no such image")
    with pytest.raises(OperateFailed, match="no such image"):
        run(DEV, clients, ["true"])
