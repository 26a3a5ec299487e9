"""Removes an environment: `python -m deploy.destroy dev`. It shows by name what goes and what stays, and asks for the
environment's name. What holds data stays: the stacks `storage`, `secrets` and `pipeline`, and a snapshot of the
database. So `deploy.bootstrap` can create the environment again, on the same lake. It may run again after a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import boto3
import click
from botocore.exceptions import ClientError, WaiterError

from deploy.environment import NAME, Environment, named

REMOVED = ("observability", "access", "sftp", "services", "cluster", "roles", "snowflake", "database", "network")
"""The stacks that go, in the order in which they depend on each other."""
KEPT = ("storage", "secrets", "pipeline")
WAIT = {"Delay": 15, "MaxAttempts": 240}  # an hour: the database's last snapshot takes minutes
SERVICES = ("viewer", "editor", "daemon", "code-server")


class DestroyFailed(click.ClickException):
    """Something couldn't be removed; the message says what, and AWS's reason."""


class Clients(NamedTuple):
    """boto3's clients."""

    sts: Any
    cloudformation: Any
    ecs: Any
    elbv2: Any
    rds: Any
    s3: Any
    transfer: Any


def shown(given: Environment) -> Iterator[str]:
    """What goes and what stays, by name."""
    yield f"Removes from {given.name} (account {given.account}, {given.region}):"
    yield from (f"  stack {given.prefix}-{stack}" for stack in REMOVED)
    yield f"  all tasks of the cluster {given.prefix}, runs at work included"
    yield f"  the SFTP server for {given.sftp_host}, whose host key partners know"
    yield f"  the objects in {given.bucket('logs')}: what runs printed"
    yield f"Takes off the deletion protection of these stacks, and of the database and load balancer {given.prefix}."
    yield "Keeps:"
    for bucket, what in (
        ("lake", "extracts, receipts"),
        ("landing", "deliveries: pending, archived, quarantined"),
        ("access-logs", "audit logs"),
        ("logs", "empty"),
    ):
        yield f"  bucket {given.bucket(bucket)} ({what})"
    yield f"  key alias/{given.prefix}, which encrypts them and the snapshot"
    yield from (f"  log group {given.log_group(each)} (audit log)" for each in ("network", "sftp"))
    yield f"  a last snapshot of the database {given.prefix}, whose name is printed at the end"
    yield f"  the secrets {given.prefix}/..."
    repository = f", and the image repository {given.image_repository}" if given.creates_image_repository else ""
    yield f"  GitHub's role {given.role_name('pipeline')}{repository}"
    yield "  everything in Snowflake"


def check(given: Environment, sts: Any) -> None:
    """Raises DestroyFailed unless signed in to the environment's account."""
    account = sts.get_caller_identity()["Account"]
    if account != given.account:
        raise DestroyFailed(f"You are signed in to account {account}: expected {given.account}, that of {given.name}")


def destroy(given: Environment, clients: Clients) -> Iterator[str]:
    """Removes it, and yields a line after each step. What is gone already is passed over. Raises DestroyFailed and
    botocore's errors."""
    for stack in REMOVED:
        name = f"{given.prefix}-{stack}"
        if not _exists(clients.cloudformation, name):
            yield f"{name}: gone"
            continue
        if stack == "services":
            yield from _stop(given, clients.ecs)
        if stack == "access":
            _unprotect_balancer(given, clients.elbv2)
        if stack == "database":
            _unprotect_database(given, clients.rds)
        clients.cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        clients.cloudformation.delete_stack(StackName=name)
        _wait(clients.cloudformation, name)
        yield f"{name}: removed"
    for server in _sftp_servers(given, clients.transfer):
        clients.transfer.delete_server(ServerId=server)
        yield f"SFTP server {server}: removed"
    yield f"{given.bucket('logs')}: {_empty(clients.s3, given.bucket('logs'))} objects removed"
    snapshots = clients.rds.describe_db_snapshots(DBInstanceIdentifier=given.prefix, SnapshotType="manual")
    for snapshot in snapshots["DBSnapshots"]:
        yield f"kept: snapshot {snapshot['DBSnapshotIdentifier']}"


def _exists(cloudformation: Any, name: str) -> bool:
    try:
        cloudformation.describe_stacks(StackName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's word for a missing stack
            return False
        raise
    return True


def _wait(cloudformation: Any, name: str) -> None:
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=WAIT)
    except WaiterError:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason')}"
            for each in events
            if each["ResourceStatus"] == "DELETE_FAILED" and each["LogicalResourceId"] != name
        ]
        raise DestroyFailed(
            f"CloudFormation couldn't delete {name}: {'; '.join(reasons[:5]) or 'it took more than an hour'}."
            " Mend that, and run this command again"
        ) from None


def _stop(given: Environment, ecs: Any) -> Iterator[str]:
    """Stops the services, the daemon among them so that it launches nothing, then every task: a cluster with tasks
    can't be deleted."""
    gone = (
        ecs.exceptions.ServiceNotFoundException,
        ecs.exceptions.ServiceNotActiveException,
        ecs.exceptions.ClusterNotFoundException,
    )
    for service in SERVICES:
        with contextlib.suppress(*gone):
            ecs.update_service(cluster=given.prefix, service=f"{given.prefix}-{service}", desiredCount=0)
    try:
        pages = list(ecs.get_paginator("list_tasks").paginate(cluster=given.prefix))
    except ecs.exceptions.ClusterNotFoundException:
        return
    tasks = [arn for page in pages for arn in page["taskArns"]]
    for arn in tasks:
        ecs.stop_task(cluster=given.prefix, task=arn, reason=f"{given.name} is destroyed")
    for start in range(0, len(tasks), 100):
        ecs.get_waiter("tasks_stopped").wait(cluster=given.prefix, tasks=tasks[start : start + 100])
    yield f"cluster {given.prefix}: {len(tasks)} tasks stopped"


def _unprotect_balancer(given: Environment, elbv2: Any) -> None:
    try:
        (found,) = elbv2.describe_load_balancers(Names=[given.prefix])["LoadBalancers"]
    except elbv2.exceptions.LoadBalancerNotFoundException:
        return
    off = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=found["LoadBalancerArn"], Attributes=off)


def _unprotect_database(given: Environment, rds: Any) -> None:
    try:
        rds.modify_db_instance(DBInstanceIdentifier=given.prefix, DeletionProtection=False, ApplyImmediately=True)
    except rds.exceptions.DBInstanceNotFoundFault:
        return


def _sftp_servers(given: Environment, transfer: Any) -> list[str]:
    """The environment's servers, which the stack leaves behind: those with its host name."""
    found = []
    for page in transfer.get_paginator("list_servers").paginate():
        for server in page["Servers"]:
            tags = transfer.list_tags_for_resource(Arn=server["Arn"]).get("Tags", [])
            if {"Key": "transfer:customHostname", "Value": given.sftp_host} in tags:
                found.append(server["ServerId"])
    return found


def _empty(s3: Any, bucket: str) -> int:
    """Deletes all objects and versions. Returns how many."""
    removed = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        keys: Sequence[dict[str, str]] = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if keys:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            if errors := answer.get("Errors"):
                raise DestroyFailed(f"{bucket}: S3 didn't delete {errors[0]['Key']}: {errors[0]['Message']}")
            removed += len(keys)
    return removed


@click.command()
@click.argument("environment", type=NAME)
@click.option("--plan", is_flag=True, help="Show what goes and what stays, and do nothing.")
@click.option("--yes", is_flag=True, help="Don't ask for the environment's name.")
def main(environment: str, plan: bool, yes: bool) -> None:
    """Remove ENVIRONMENT from AWS. Keeps the lake, deliveries, audit logs, key, secrets, and a database snapshot.

    \b
    Examples:
      python -m deploy.destroy dev --plan
      python -m deploy.destroy dev
    """
    given = named(environment)
    for line in shown(given):
        click.echo(line)
    if plan:
        return
    session = boto3.Session(region_name=given.region)
    clients = Clients(*map(session.client, Clients._fields))
    check(given, clients.sts)
    if not yes and click.prompt(f"\nType {given.name} to remove it", default="", show_default=False) != given.name:
        raise click.Abort
    for line in destroy(given, clients):
        click.echo(line)


if __name__ == "__main__":
    main()
