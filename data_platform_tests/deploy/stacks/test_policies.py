"""Who may do what: no permission is wider than AWS makes it, and one environment's roles can't touch the other's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from data_platform.cli.project import DEFS
from data_platform.feeds.declared import declared_sources
from data_platform.feeds.partners import PartnerDeclaration
from data_platform_tests.deploy.folders import DELETED, LAKE, LANDING
from data_platform_tests.deploy.stacks.synthesized import Synthesized, text

COARSEST = {
    "ecr:GetAuthorizationToken",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTasks",  # limited by the cluster, in a condition
    "ecs:RegisterTaskDefinition",
}
"""Actions for which AWS knows no resource
(docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html)."""


def test_no_action_has_a_star(cdk: Synthesized, environment: str) -> None:
    wide = [(each.owner, action) for each in cdk.statements(environment) for action in each.actions if "*" in action]
    assert wide == []


def test_a_star_is_a_whole_resource_only_where_aws_has_none_finer(cdk: Synthesized, environment: str) -> None:
    for each in cdk.statements(environment):
        if "*" in each.resources:
            assert set(each.actions) <= COARSEST, f"{each.owner}: {each.sid}"


def test_a_star_stands_only_at_the_end_of_a_named_thing(cdk: Synthesized, environment: str) -> None:
    """`bucket/folder/*`, a family's revisions, a cluster's tasks, a log group's streams."""
    for each in cdk.statements(environment):
        for resource in each.resources:
            if resource != "*" and "*" in resource:
                assert re.fullmatch(
                    r"arn:aws:s3:::[^*/]+/[^*]+/\*|arn:aws:ecs:[^*]+:task-definition/[^*]+_?\*?:\*|"
                    r"arn:aws:cloudformation:[^*]+:stack/[^*]+/\*|arn:aws:ecs:[^*]+:task/[^*]+/\*|arn:aws:logs:[^*]+:log-group:[^*]+:\*",
                    resource,
                ), f"{each.owner}: {resource}"


def test_a_role_names_only_its_own_environment(cdk: Synthesized, environment: str) -> None:
    other = {"dev": "prod", "prod": "dev"}[environment]
    for each in cdk.statements(environment):
        for resource in each.resources:
            assert f"data-platform-{other}" not in resource
            named = re.match(r"arn:aws:(s3|ecs|iam|logs|cloudformation):", resource)
            if (named and not resource.startswith("arn:aws:iam::")) or "role/data-platform" in resource:
                assert f"data-platform-{environment}" in resource, f"{each.owner}: {resource}"


def test_every_permission_says_why(cdk: Synthesized, environment: str) -> None:
    for each in cdk.statements(environment):
        if not each.owner.startswith("flowrole"):  # CDK makes that one, of the VPC's flow logs
            assert len(each.sid) > 5, f"{each.owner}: {each.actions}"


def test_a_role_is_assumed_only_for_this_account(cdk: Synthesized, environment: str) -> None:
    account = {"dev": "111111111111", "prod": "222222222222"}[environment]
    for name, role in cdk.roles(environment).items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if "Service" in statement["Principal"]:
                assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == account, name
            else:
                assert name in ("snowflake", "pipeline")


def test_only_one_github_environment_of_one_repository_deploys(cdk: Synthesized, environment: str) -> None:
    (trust,) = cdk.roles(environment)["pipeline"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:example/data-platform:environment:{environment}",
        }
    }


def test_nobody_is_snowflake_until_its_user_is_known(cdk: Synthesized, environment: str) -> None:
    (trust,) = cdk.roles(environment)["snowflake"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"Bool": {"aws:PrincipalIsAWSService": "true"}}


def test_no_setting_of_snowflake_changes_the_trust_that_bootstrap_replaces() -> None:
    """A later deployment must not put the template's policy back: CloudFormation updates what differs."""
    from aws_cdk import assertions

    from deploy import app as deployment
    from deploy.environment import Snowflake, environments
    from deploy.stacks.snowflake import SnowflakeStack

    def trust(given: Any) -> Any:
        stack = SnowflakeStack(deployment.cdk.App(), "snowflake", given, "arn:aws:kms:us-east-1:111111111111:key/k")
        (role,) = assertions.Template.from_stack(stack).find_resources("AWS::IAM::Role").values()
        return role["Properties"]["AssumeRolePolicyDocument"]

    given = environments()[0]
    others = dict.fromkeys(Snowflake.model_fields, "OTHER")
    assert trust(given) == trust(given.model_copy(update={"snowflake": Snowflake(**others)}))


def test_only_the_daemon_and_doctor_launch_and_only_with_the_roles_of_a_run(cdk: Synthesized, environment: str) -> None:
    passed = {each.owner: each for each in cdk.statements(environment) if "iam:PassRole" in each.actions}
    assert set(passed) == {"daemon", "operate", "pipeline"}
    of_a_run = ("run", "start-run")  # `doctor --deep` tests a task with them
    for owner, roles in (("daemon", of_a_run), ("operate", of_a_run), ("pipeline", ("operate", "start-operate"))):
        assert [each.rpartition("/")[2] for each in passed[owner].resources] == [
            f"data-platform-{environment}-{role}" for role in roles
        ]
        assert passed[owner].conditions == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    launches = {each.owner: each.resources for each in cdk.statements(environment) if "ecs:RunTask" in each.actions}
    assert [each.rpartition("/")[2] for each in launches["daemon"]] == [f"data-platform-{environment}_*:*"]
    assert [each.rpartition("/")[2] for each in launches["operate"]] == [f"data-platform-{environment}_doctor_*:*"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("snowflakeprivatekey", {"start-run", "start-operate"}),
        ("snowflakedbtprivatekey", {"start-run", "start-operate"}),
        ("snowflakereaderprivatekey", {"start-operate"}),
        ("smokeprivatekey", {"start-operate"}),
    ],
)
def test_each_key_goes_only_to_who_needs_it(cdk: Synthesized, environment: str, key: str, expected: set[str]) -> None:
    readers = {
        each.owner
        for each in cdk.statements(environment)
        if "secretsmanager:GetSecretValue" in each.actions and any(key in arn for arn in each.resources)
    }
    assert readers == expected


def test_operators_delete_only_what_doctor_and_the_smoke_test_have_written(cdk: Synthesized, environment: str) -> None:
    deleted = {
        (action, resource.partition(":::")[2].removeprefix(f"data-platform-{environment}-").partition("-")[2])
        for each in cdk.statements(environment)
        for action in each.actions
        for resource in each.resources
        if each.owner == "operate" and "Delete" in action
    }
    assert deleted == {
        *(("s3:DeleteObject", f"lake/{folder}/*") for folder in ("_doctor", "extracts/_doctor")),
        *(("s3:DeleteObject", f"lake/{folder}/smoke/*") for folder in ("extracts", "receipts")),
        *(
            ("s3:DeleteObjectVersion", f"landing/{folder}/smoke/*")
            for folder in ("inbound", "archive", "quarantine", "receipts")
        ),
    }


def test_a_run_may_write_and_delete_where_runs_do(cdk: Synthesized, environment: str) -> None:
    def folders(action: str, bucket: str) -> set[str]:
        return {
            resource.partition(f"-{bucket}/")[2].split("/")[0]
            for each in cdk.statements(environment)
            for resource in each.resources
            if each.owner == "run" and action in each.actions and f"-{bucket}/" in resource
        }

    assert folders("s3:PutObject", "lake") == LAKE
    assert folders("s3:PutObject", "landing") == LANDING - {"inbound"}
    for bucket, deleted in DELETED.items():
        assert folders("s3:DeleteObject", bucket) == deleted
    for bucket, read in (("lake", {"extracts", "unloaded", "publications"}), ("landing", LANDING)):
        assert folders("s3:GetObject", bucket) == read


def test_every_task_may_read_the_databases_password_again(cdk: Synthesized, environment: str) -> None:
    readers = {
        each.owner
        for each in cdk.statements(environment)
        if "secretsmanager:GetSecretValue" in each.actions and any("MasterUserSecret" in arn for arn in each.resources)
    }
    tasks = {"webserver", "daemon", "code-server", "run", "operate"}
    assert readers == tasks | {f"start-{task}" for task in tasks}


def test_a_run_learns_that_a_key_is_missing(cdk: Synthesized, environment: str) -> None:
    """Without ListBucket on the bucket, and no prefix, S3 answers 403 for a key that doesn't exist."""
    lists = [each for each in cdk.statements(environment) if each.owner == "run" and "s3:ListBucket" in each.actions]
    assert {resource.rpartition("-")[2] for each in lists for resource in each.resources} == {"lake", "landing"}
    assert all(not each.conditions for each in lists)


def test_partners_reach_their_own_folders_only(cdk: Synthesized, environment: str) -> None:
    users = list(cdk.resources(environment, "AWS::Transfer::User"))
    assert {user["UserName"] for _, user in users} == {each.name for each in declared_sources(DEFS, PartnerDeclaration)}
    for _, user in users:
        assert {each["Target"].rpartition("/")[2] for each in user["HomeDirectoryMappings"]} == {user["UserName"]}
        assert "kms:GenerateDataKey" in text(user["Policy"])
    for each in cdk.statements(environment):
        if each.owner.startswith("sftp-"):
            partner = each.owner.removeprefix("sftp-")
            objects = [resource for resource in each.resources if "/" in resource and resource.startswith("arn:aws:s3")]
            assert all(resource.split("/")[2] == partner for resource in objects)
