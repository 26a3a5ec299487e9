"""Runs a command once in an environment: `python -m deploy.operate dev data-platform doctor`. It starts the task
definition `<prefix>-operate`, waits, prints the task's log, and exits as the command did."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import boto3
import click

from deploy.environment import NAME, Environment, named

NETWORK = "operatenetwork"
"""The output of the network stack: subnets;security groups, separated by commas."""
WAIT = {"Delay": 5, "MaxAttempts": 720}  # an hour


class OperateFailed(click.ClickException):
    """ECS didn't run the command; the message is ECS's reason."""


class Clients(NamedTuple):
    """boto3's clients."""

    cloudformation: Any
    ecs: Any
    logs: Any


def run(given: Environment, clients: Clients, command: Sequence[str]) -> tuple[int, Iterator[str]]:
    """The command's exit code and the lines that it printed. Raises OperateFailed, and botocore's WaiterError after an
    hour, which leaves the task running."""
    (stack,) = clients.cloudformation.describe_stacks(StackName=f"{given.prefix}-network")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    subnets, groups = (part.split(",") for part in outputs[NETWORK].split(";"))
    answer = clients.ecs.run_task(
        cluster=given.prefix,
        taskDefinition=f"{given.prefix}-operate",
        launchType="FARGATE",
        clientToken=str(uuid.uuid4()),
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups, "assignPublicIp": "DISABLED"}
        },
        overrides={"containerOverrides": [{"name": "operate", "command": list(command)}]},
    )
    if not answer["tasks"]:
        raise OperateFailed(f"ECS did not start the task: {'; '.join(each['reason'] for each in answer['failures'])}")
    arn = answer["tasks"][0]["taskArn"]
    clients.ecs.get_waiter("tasks_stopped").wait(cluster=given.prefix, tasks=[arn], WaiterConfig=WAIT)
    (task,) = clients.ecs.describe_tasks(cluster=given.prefix, tasks=[arn])["tasks"]
    code = task["containers"][0].get("exitCode")
    if code is None:
        raise OperateFailed(f"the task did not run: {task.get('stoppedReason', 'no reason')}")
    return code, _lines(given, clients.logs, arn.rpartition("/")[2])


def _lines(given: Environment, logs: Any, task: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(
            logGroupName=given.log_group("operate"),
            logStreamName=f"operate/operate/{task}",
            startFromHead=True,
            **token,
        )
        yield from (event["message"] for event in page["events"])
        if token.get("nextToken") == page["nextForwardToken"]:  # the same token again: the end
            return
        token = {"nextToken": page["nextForwardToken"]}


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("environment", type=NAME)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(environment: str, command: tuple[str, ...]) -> None:
    """Run COMMAND as a one-off task of an environment.

    \b
    Examples:
      python -m deploy.operate dev data-platform doctor
      python -m deploy.operate dev data-platform schema apply --yes
    """
    given = named(environment)
    session = boto3.Session(region_name=given.region)
    code, lines = run(given, Clients(*map(session.client, Clients._fields)), command)
    for line in lines:
        click.echo(line)
    sys.exit(code)


if __name__ == "__main__":
    main()
