"""Starts a task as the daemon starts a run's: with the launcher's definition, roles and network, and the code server's
image, variables and secrets. The task runs `in_task`, whose findings are read from the lake."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from data_platform.cli.doctor.finding import Finding
from data_platform.environment import Settings

SUBJECT = "a run's task"
WAIT = {"Delay": 3, "MaxAttempts": 200}  # ten minutes


class TaskFailed(Exception):
    """ECS didn't run the task; the message has ECS's reason."""


def task(settings: Settings) -> Iterator[Finding]:
    """What the task found; or why there is none."""
    if settings.runs_on != "ecs":
        yield Finding(SUBJECT, "warning", "not tried: runs are processes here (DATA_PLATFORM_RUNS_ON)")
        return
    if settings.run_image is None or settings.container_context is None:
        fix = "set DAGSTER_CURRENT_IMAGE and DAGSTER_CONTAINER_CONTEXT, as the code server has them"
        yield Finding(SUBJECT, "failed", "not tried: the image of runs or their variables are unknown here", fix)
        return
    import obstore

    from data_platform.lake.store import open_bucket

    key = f"extracts/_doctor/{uuid.uuid4().hex}.json"
    command = ["python", "-m", "data_platform.cli.doctor.deep.in_task", key]
    try:
        arn = run_to_its_end(settings, settings.run_image, json.loads(settings.container_context), command)
    except TaskFailed as failed:
        yield Finding(SUBJECT, "failed", str(failed), "look at the task's log, its roles, secrets and network")
        return
    yield Finding(SUBJECT, "ok", f"{arn.rpartition('/')[2]} started and ended")
    store = open_bucket(settings, settings.lake_bucket)
    try:
        content = bytes(obstore.get(store, key).bytes())
    except FileNotFoundError:
        yield Finding(SUBJECT, "failed", f"it wrote nothing to {key}", "look at the task's log")
        return
    obstore.delete(store, key)
    for finding in json.loads(content):
        found = Finding(**finding)
        yield replace(found, subject=f"{SUBJECT}: {found.subject}")


def run_to_its_end(settings: Settings, image: str, context: dict[str, Any], command: Sequence[str]) -> str:
    """Runs the command as a task, and returns the task's ARN. Raises TaskFailed, and boto3's errors."""
    import dagster as dg
    from botocore.exceptions import WaiterError
    from dagster_aws.ecs.container_context import EcsContainerContext

    from data_platform.runs.launcher import FargateRunLauncher
    from data_platform.runs.task_definition import definition_of, registered

    settings.adopt()
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, FargateRunLauncher):
            raise TaskFailed(f"Dagster's instance launches runs by {type(launcher).__name__}: render it again")
        given = EcsContainerContext.create_for_run(dg.DagsterRun(job_name="doctor"), launcher)
        given = given.merge(EcsContainerContext.create_from_config(context))
        definition = registered(launcher.ecs, definition_of(launcher, "doctor", image, given))
        cluster = str(launcher.run_task_kwargs["cluster"])
        override = {"name": launcher.get_container_name(given), "command": list(command)}
        answer = launcher.ecs.run_task(
            **launcher.run_task_kwargs,
            taskDefinition=definition,
            clientToken=str(uuid.uuid4()),
            overrides={"containerOverrides": [override]},
        )
        if not answer["tasks"]:
            reasons = "; ".join(each.get("reason", "") for each in answer["failures"])
            raise TaskFailed(f"ECS did not start it: {reasons}")
        arn = str(answer["tasks"][0]["taskArn"])
        try:
            launcher.ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=[arn], WaiterConfig=WAIT)
        except WaiterError:
            launcher.ecs.stop_task(cluster=cluster, task=arn, reason="data-platform doctor gave up waiting")
            raise TaskFailed(f"{arn} did not end within ten minutes; it is stopped") from None
        (ended,) = launcher.ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
    code = ended["containers"][0].get("exitCode")
    if code != 0:
        why = ended.get("stoppedReason") or ended["containers"][0].get("reason") or "no reason"
        raise TaskFailed(f"{arn.rpartition('/')[2]} ended with {code}: {why}")
    return arn
