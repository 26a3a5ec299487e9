"""Pipeline: the image repository, and the role that GitHub Actions assumes by OIDC. GitHub has no key: AWS trusts the
jobs of one repository that run in the GitHub environment of this name."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.environment import Environment
from deploy.stacks.policy import Allow, role

GITHUB = "token.actions.githubusercontent.com"


class PipelineStack(cdk.Stack):
    """The role `<prefix>-pipeline`, and in one environment the image repository."""

    def __init__(self, scope: Construct, name: str, given: Environment, **options: object) -> None:
        super().__init__(scope, name, **options)
        if given.creates_image_repository:
            self._repository(given)
        provider = f"arn:aws:iam::{given.account}:oidc-provider/{GITHUB}"
        if given.github.creates_provider:
            iam.CfnOIDCProvider(self, "github", url=f"https://{GITHUB}", client_id_list=["sts.amazonaws.com"])
        principal = iam.FederatedPrincipal(
            provider,
            {
                "StringEquals": {
                    f"{GITHUB}:aud": "sts.amazonaws.com",
                    f"{GITHUB}:sub": f"repo:{given.github.repository}:environment:{given.name}",
                }
            },
            "sts:AssumeRoleWithWebIdentity",
        )
        role(self, given, "pipeline", principal, self._allowed(given), "GitHub Actions deploys this environment")

    def _repository(self, given: Environment) -> None:
        repository = ecr.Repository(
            self,
            "images",
            repository_name=given.image_repository,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            lifecycle_rules=[ecr.LifecycleRule(max_image_count=100, description="A hundred images to roll back to")],
        )
        for reader in given.image_readers:
            repository.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=f"Pull{reader}",
                    principals=[iam.AccountPrincipal(reader)],
                    actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                )
            )

    def _allowed(self, given: Environment) -> list[Allow]:
        own = [
            f"arn:aws:iam::{given.account}:role/cdk-{given.qualifier}-{purpose}-role-{given.account}-{given.region}"
            for purpose in ("deploy", "file-publishing")
        ]
        push = [
            Allow("Sign in to the registry", ["ecr:GetAuthorizationToken"], ["*"]),  # AWS has none finer
            Allow(
                "Push the image",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:DescribeImages",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:UploadLayerPart",
                ],
                [given.image_repository_arn],
            ),
        ]
        cluster = {"ArnEquals": {"ecs:cluster": given.cluster_arn}}
        return [
            *(push if given.creates_image_repository else ()),
            Allow("Deploy stacks as CDK does", ["sts:AssumeRole"], own),
            Allow(
                "Find the network of migrations",
                ["cloudformation:DescribeStacks"],
                [given.arn("cloudformation", f"stack/{given.prefix}-network/*")],
            ),
            Allow(
                "Run migrations",
                ["ecs:RunTask"],
                [given.arn("ecs", f"task-definition/{given.prefix}-operate:*")],
                cluster,
            ),
            Allow("Wait for a migration", ["ecs:DescribeTasks"], [given.arn("ecs", f"task/{given.prefix}/*")], cluster),
            Allow(
                "Give a migration its roles",
                ["iam:PassRole"],
                [given.role_arn("operate"), given.role_arn("start-operate")],
                {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
            Allow(
                "Show a migration's output",
                ["logs:GetLogEvents"],
                [given.arn("logs", f"log-group:{given.log_group('operate')}:log-stream:*")],
            ),
        ]
