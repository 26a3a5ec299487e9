"""The task definition of a run: a family per environment, job and content, so that a family has one revision, and a run
gets exactly the definition that was made for it.

Dagster's launcher would compare the latest revision of a family with what it wants, without log group and Linux
parameters, and then start the latest revision, which may be another environment's.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import dagster as dg
from botocore.exceptions import ClientError
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.ecs.container_context import EcsContainerContext

from data_platform.environment import settings

STOP_SECONDS = 120
"""How long a run has to end after SIGTERM; the most that Fargate allows."""


class NoImage(Exception):
    """The run's code location names no image."""


def with_definition(launcher: EcsRunLauncher[Any], run: dg.DagsterRun) -> dg.DagsterRun:
    """The run with the ARN of its task definition in its container context, where Dagster's launcher takes it from.
    Registers the definition if it is new. Raises NoImage, and boto3's ClientError."""
    code = run.job_code_origin
    if code is None or not code.repository_origin.container_image:
        raise NoImage(
            f"run {run.run_id}: its code location names no image; set DAGSTER_CURRENT_IMAGE of the code server"
        )
    repository = code.repository_origin
    context = EcsContainerContext.create_for_run(run, launcher)
    arn = registered(launcher.ecs, definition_of(launcher, run.job_name, str(repository.container_image), context))
    given = dict(repository.container_context or {})
    given["ecs"] = {**given.get("ecs", {}), "task_definition_arn": arn}
    return run._replace(job_code_origin=code._replace(repository_origin=repository._replace(container_context=given)))


def definition_of(
    launcher: EcsRunLauncher[Any], job_name: str, image: str, context: EcsContainerContext
) -> dict[str, Any]:
    """The request of RegisterTaskDefinition."""
    environment = {**context.get_environment_dict(), "DAGSTER_RUN_JOB_NAME": job_name}
    secrets = context.get_secrets_dict(launcher.secrets_manager)
    container: dict[str, Any] = {
        "name": launcher.get_container_name(context),
        "image": image,
        "essential": True,
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "secrets": [{"name": name, "valueFrom": arn} for name, arn in secrets.items()],
        "mountPoints": list(context.mount_points),
        "linuxParameters": launcher.linux_parameters or {},
        "stopTimeout": STOP_SECONDS,
    }
    if group := launcher.task_definition_dict.get("log_group"):
        options = {"group": group, "region": launcher.ecs.meta.region_name, "stream-prefix": "run"}
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {f"awslogs-{name}": value for name, value in options.items()},
        }
    definition: dict[str, Any] = {
        "requiresCompatibilities": launcher.task_definition_dict.get("requires_compatibilities", []),
        "networkMode": "awsvpc",
        "containerDefinitions": [container],
        "cpu": context.run_resources["cpu"],
        "memory": context.run_resources["memory"],
        "volumes": list(context.volumes),
    }
    for name, arn in (("taskRoleArn", context.task_role_arn), ("executionRoleArn", context.execution_role_arn)):
        if arn:
            definition[name] = arn
    content = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
    job = re.sub(r"[^\w-]", "", job_name)[:100]
    return {"family": f"data-platform-{settings().environment}_{job}_{content}", **definition}


def registered(ecs: Any, definition: dict[str, Any]) -> str:
    """The ARN of the definition's revision; registers it if the family is new. Two processes that register it at once
    make two equal revisions. Raises ClientError."""
    try:
        found = ecs.describe_task_definition(taskDefinition=definition["family"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ClientException":  # "Unable to describe task definition."
            raise
        return str(ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"])
    return str(found["taskDefinition"]["taskDefinitionArn"])
