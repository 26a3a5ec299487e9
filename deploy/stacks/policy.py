"""A statement with its reason, and roles made of them. The reason becomes the statement's Sid, so that the policy in
AWS's console says it too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.environment import Environment


class Allow(NamedTuple):
    """What a role may do, and why."""

    reason: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Any] | None = None

    def statement(self) -> iam.PolicyStatement:
        """The statement. Its Sid is the reason without blanks."""
        words = re.findall(r"[A-Za-z0-9]+", self.reason)
        return iam.PolicyStatement(
            sid="".join(word[0].upper() + word[1:] for word in words),
            actions=list(self.actions),
            resources=list(self.resources),
            conditions=dict(self.conditions) if self.conditions else None,
        )


def role(
    scope: Construct, given: Environment, purpose: str, principal: iam.IPrincipal, allowed: Sequence[Allow], why: str
) -> iam.Role:
    """A role with exactly these permissions, in one policy of its own."""
    made = iam.Role(scope, purpose, role_name=given.role_name(purpose), description=why, assumed_by=principal)
    if allowed:
        iam.Policy(
            scope,
            f"{purpose}-policy",
            policy_name=given.role_name(purpose),
            roles=[made],
            statements=[each.statement() for each in allowed],
        )
    return made


def tasks(given: Environment) -> iam.IPrincipal:
    """ECS tasks of this account and region only."""
    return iam.ServicePrincipal(
        "ecs-tasks.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": given.account},
            "ArnLike": {"aws:SourceArn": given.arn("ecs", "*")},
        },
    )
