"""Creates the ECS resources of the plan of `up --ecs`. Idempotent; part of the provisioning process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from data_platform.local_cloud.ecs.plan import SECURITY_GROUPS, SUBNETS, EcsPlan, secret_name

LOG_DAYS = 30
_ECS_MAY_ASSUME = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def make(client: Callable[[str], Any], plan: EcsPlan) -> None:
    """Create cluster, log group, roles and secrets. `client` returns a service's client by name. Raises ClientError,
    also if the tasks' subnets or security groups don't exist."""
    ecs = client("ecs")
    ecs.create_cluster(clusterName=plan.cluster)
    ecs.put_cluster_capacity_providers(
        cluster=plan.cluster, capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    network = client("ec2")
    network.describe_subnets(SubnetIds=list(SUBNETS))
    network.describe_security_groups(GroupIds=list(SECURITY_GROUPS))
    logs = client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=plan.log_group)
    logs.put_retention_policy(logGroupName=plan.log_group, retentionInDays=LOG_DAYS)
    for role in plan.roles:
        _role(client("iam"), role)
    for variable, value in plan.secrets.items():
        _secret(client("secretsmanager"), secret_name(variable), value)


def _role(iam: Any, name: str) -> None:
    """Create a role without rights: the local cloud checks none."""
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_ECS_MAY_ASSUME))
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise


def _secret(manager: Any, name: str, value: str) -> None:
    try:
        manager.create_secret(Name=name, SecretString=value)
    except manager.exceptions.ResourceExistsException:
        if manager.get_secret_value(SecretId=name)["SecretString"] != value:
            manager.put_secret_value(SecretId=name, SecretString=value)
