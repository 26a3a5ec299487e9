"""AWS's side of the storage integration: who may assume the role by which Snowflake reads the lake.

CDK creates the role with a trust policy that admits nobody and never changes it afterwards: CloudFormation updates a
property only when it differs between two templates, so a later deployment leaves this policy alone."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

    from data_platform.warehouse.bootstrap import Account

PATIENCE_SECONDS = 240.0
"""A new trust policy reaches all of AWS within seconds, sometimes minutes."""
PAUSE_SECONDS = 5.0


class StageUnreadable(Exception):
    """Snowflake can't list the lake's stage. The message has AWS's or Snowflake's reason."""


def trust_policy(user_arn: str, external_id: str) -> dict[str, Any]:
    """The trust policy that admits Snowflake's AWS user with this external id, and nobody else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": user_arn},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }


def present_policy(iam: Any, role_arn: str) -> dict[str, Any]:
    """The role's trust policy. Raises boto3's ClientError."""
    found: dict[str, Any] = iam.get_role(RoleName=role_name(role_arn))["Role"]["AssumeRolePolicyDocument"]
    return found


def set_policy(iam: Any, role_arn: str, policy: dict[str, Any]) -> None:
    """Replaces the role's trust policy. Raises boto3's ClientError."""
    iam.update_assume_role_policy(RoleName=role_name(role_arn), PolicyDocument=json.dumps(policy))


def policy_diff(present: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The lines of a unified diff; empty if the policies are the same."""
    before, after = (json.dumps(each, indent=2, sort_keys=True).splitlines() for each in (present, wanted))
    return list(difflib.unified_diff(before, after, "present", "wanted", lineterm=""))


def role_name(arn: str) -> str:
    """A role's name, without its path."""
    return arn.rpartition("/")[2]


def list_with_patience(
    cursor: DictCursor,
    account: Account,
    *,
    seconds: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Lists the stage until it succeeds, and yields the reason of each failed attempt. Raises StageUnreadable after
    `seconds` of pauses."""
    from snowflake.connector import ProgrammingError

    from data_platform.warehouse.bootstrap import list_stage

    waited = 0.0
    while True:
        try:
            return list_stage(cursor, account)
        except ProgrammingError as refused:
            reason = str(refused.msg or refused).strip().splitlines()[0]
        if waited >= seconds:
            raise StageUnreadable(
                f"Snowflake can't list the lake's stage after {seconds:.0f} s: {reason}. Check that"
                f" {account.aws_role_arn} is the role of the stack `snowflake`, and that it may read"
                f" {account.location}_doctor/"
            )
        yield reason
        pause(PAUSE_SECONDS)
        waited += PAUSE_SECONDS
