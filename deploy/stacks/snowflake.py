"""Snowflake's way to the lake: the role that its storage integration assumes. It reads extracts, and nothing else.

Snowflake's side names this role, and this role's trust policy names Snowflake's user, which exists only once the
integration does. So the role is created with a trust policy that admits nobody, and `data-platform snowflake bootstrap`
replaces it. No value of an environment is in this policy, so the template's policy never changes, and CloudFormation,
which updates only what differs between two templates, never puts it back."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.environment import Environment
from deploy.stacks.policy import Allow, role


class SnowflakeStack(cdk.Stack):
    """The role `<prefix>-snowflake`."""

    def __init__(self, scope: Construct, name: str, given: Environment, key_arn: str, **options: object) -> None:
        super().__init__(scope, name, **options)
        lake = f"arn:aws:s3:::{given.bucket('lake')}"
        # A trust policy must name someone who exists: the role itself doesn't yet, the account does. No principal of an
        # account is an AWS service.
        nobody = iam.PrincipalWithConditions(
            iam.AccountPrincipal(given.account), {"Bool": {"aws:PrincipalIsAWSService": "true"}}
        )
        allowed = [
            Allow(
                "Read the files that a load names",
                ["s3:GetObject", "s3:GetObjectVersion"],
                [f"{lake}/extracts/*", f"{lake}/_doctor/*"],
            ),
            Allow(
                "List the stage", ["s3:ListBucket"], [lake], {"StringLike": {"s3:prefix": ["extracts/*", "_doctor/*"]}}
            ),
            Allow("Find the bucket", ["s3:GetBucketLocation"], [lake]),
            Allow(
                "Decrypt the files",
                ["kms:Decrypt"],
                [key_arn],
                {"StringEquals": {"kms:ViaService": f"s3.{given.region}.amazonaws.com"}},
            ),
        ]
        made = role(
            self,
            given,
            "snowflake",
            nobody,
            allowed,
            "Snowflake's storage integration reads extracts",
        )
        cdk.CfnOutput(self, "role", value=made.role_arn, description="STORAGE_AWS_ROLE_ARN of the integration")
