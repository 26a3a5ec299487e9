"""The templates of dev, deployed by the local AWS's CloudFormation as far as it goes, and each resource looked at
through its API; then `deploy.destroy` on the same account. What it can't deploy is named here: only an account shows
that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from data_platform.cli.secrets_seed import slots
from data_platform_tests.deploy.stacks.synthesized import Synthesized, smoke_test_on
from data_platform_tests.servers.aws import running_aws

PREFIX, ACCOUNT = "data-platform-dev", "111111111111"
DEPLOYED = ("storage", "secrets", "pipeline", "roles", "snowflake", "cluster")
REFUSED = {
    "pipeline": {"AWS::IAM::OIDCProvider"},
    "network": {
        "AWS::EC2::EIP",
        "AWS::EC2::FlowLog",
        "AWS::EC2::NatGateway",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
    },
    "sftp": {"AWS::Transfer::Server", "AWS::Transfer::User", "AWS::Transfer::Workflow"},
    "cluster": {"AWS::ECS::ClusterCapacityProviderAssociations"},
    "access": {"AWS::WAFv2::WebACLAssociation"},
    "observability": {"AWS::Budgets::Budget"},
}
"""The types that its CloudFormation doesn't know. `pipeline` and `cluster` are deployed without theirs."""
STAND_INS = ("network", "database")
"""Stacks in whose place another exports their names: `database` would start a PostgreSQL in Docker."""


class Cloud:
    """An account of the local AWS. Calls it by service."""

    def __init__(self, client: Callable[[str], Any], cdk: Synthesized) -> None:
        self.client, self._cdk = client, cdk
        self._stacks = client("cloudformation")

    def template(self, stack: str) -> dict[str, Any]:
        """A stack's template."""
        return self._cdk.templates["dev", stack]

    def deploy(self, stack: str, template: dict[str, Any]) -> None:
        """Creates the stack, and waits for it."""
        name = f"{PREFIX}-{stack}"
        self._stacks.create_stack(
            StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        deadline = time.monotonic() + 20
        while (status := self._stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("PROGRESS"):
            assert time.monotonic() < deadline, name
            time.sleep(0.1)
        events = self._stacks.describe_stack_events(StackName=name)["StackEvents"]
        assert status == "CREATE_COMPLETE", [each for each in events if "FAILED" in each["ResourceStatus"]]


@pytest.fixture(scope="module")
def cloud(cdk: Synthesized, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account in which dev is deployed, as far as possible."""
    with running_aws(tmp_path_factory.mktemp("aws"), ACCOUNT) as client:
        made = Cloud(client, cdk)
        version = {"Name": "/cdk-bootstrap/dpdev/version", "Value": "21", "Type": "String"}
        client("ssm").put_parameter(**version)  # as `cdk bootstrap` leaves it
        for stack in STAND_INS:
            made.deploy(stack, _stand_in(made.template(stack)))
        for stack in DEPLOYED:
            made.deploy(stack, _without(made.template(stack), REFUSED.get(stack, set())))
        yield made


def _without(template: dict[str, Any], types: set[str]) -> dict[str, Any]:
    kept = {name: each for name, each in template["Resources"].items() if each["Type"] not in types}
    return {**template, "Resources": kept}


def _stand_in(template: dict[str, Any]) -> dict[str, Any]:
    """A stack with the same exports, of values that nothing has."""
    outputs = {
        name: {**each, "Value": f"stand-in-{number}"} for number, (name, each) in enumerate(template["Outputs"].items())
    }
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "stand-in"}}
    return {"Resources": {"standin": topic}, "Outputs": outputs}


@pytest.mark.parametrize("stack", sorted(REFUSED))
def test_what_it_refuses_is_as_named_above(cloud: Cloud, stack: str) -> None:
    """If this fails, the local AWS has learned a type: deploy it here."""
    with pytest.raises(ClientError, match="Unrecognized resource types") as error:
        cloud.deploy(f"{stack}-as-it-is", cloud.template(stack))
    assert set(str(error.value).partition("types: [")[2].rstrip("]").split(", ")) == REFUSED[stack]


def test_buckets_are_private_take_tls_only_and_keep_versions(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    names = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert names == {f"{PREFIX}-{ACCOUNT}-{each}" for each in ("lake", "landing", "logs", "access-logs")}
    for name in names:
        assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
        ownership = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
        assert ownership["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        refused = [each["Condition"] for each in policy["Statement"] if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in refused
        versioned = name.endswith(("-lake", "-landing"))
        assert (s3.get_bucket_versioning(Bucket=name).get("Status") == "Enabled") is versioned
        # It ignores the template's encryption by KMS and the lifecycle: test_templates holds those.
        assert s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]


def test_the_key_is_there_by_name_and_the_audit_logs(cloud: Cloud) -> None:
    (alias,) = cloud.client("kms").list_aliases()["Aliases"]
    assert alias["AliasName"] == f"alias/{PREFIX}"
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    kept = {f"/{PREFIX}/{each}" for each in ("network", "sftp", "operate", "runs")}
    assert {each["logGroupName"] for each in groups} == kept


def test_secrets_have_the_names_by_which_tasks_and_the_seed_command_look_for_them(cloud: Cloud) -> None:
    from deploy.stacks.secrets import purposes

    listed = cloud.client("secretsmanager").list_secrets(MaxResults=100)["SecretList"]
    given = {each["Name"].removeprefix(f"{PREFIX}/"): each["Description"] for each in listed}
    with smoke_test_on():
        assert given == purposes(_dev())
    assert {each.name for each in slots(cloud.client("secretsmanager"), PREFIX)} == set(given)


def test_every_role_is_there_with_the_permissions_of_its_template(cloud: Cloud, cdk: Synthesized) -> None:
    iam = cloud.client("iam")
    there = {each["RoleName"].removeprefix(f"{PREFIX}-") for each in iam.list_roles(MaxItems=100)["Roles"]}
    assert there >= {"webserver", "daemon", "code-server", "run", "operate", "pipeline", "snowflake"}
    for owner in ("run", "daemon", "snowflake", "pipeline"):
        (policy,) = iam.list_role_policies(RoleName=f"{PREFIX}-{owner}")["PolicyNames"]
        document = iam.get_role_policy(RoleName=f"{PREFIX}-{owner}", PolicyName=policy)["PolicyDocument"]
        document = json.loads(document) if isinstance(document, str) else document
        sids = [each.sid for each in cdk.statements("dev") if each.owner == owner]
        assert [each["Sid"] for each in document["Statement"]] == sids


def test_the_image_repository_takes_no_tag_twice(cloud: Cloud) -> None:
    (repository,) = cloud.client("ecr").describe_repositories()["repositories"]
    assert repository["repositoryName"] == "data-platform"
    assert repository["imageTagMutability"] == "IMMUTABLE"


def test_the_cluster_runs_one_off_tasks_of_the_deployed_image(cloud: Cloud) -> None:
    ecs = cloud.client("ecs")
    assert [each.rpartition("/")[2] for each in ecs.list_clusters()["clusterArns"]] == [PREFIX]
    definition = ecs.describe_task_definition(taskDefinition=f"{PREFIX}-operate")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert "@sha256:" in container["image"]
    assert container["readonlyRootFilesystem"] is True


def test_destroy_keeps_what_holds_data(cloud: Cloud) -> None:
    """The last test of this module: it removes what the others look at."""
    from deploy.destroy import Clients, destroy

    s3 = cloud.client("s3")
    for purpose in ("lake", "logs"):
        s3.put_object(Bucket=f"{PREFIX}-{ACCOUNT}-{purpose}", Key="extracts/a", Body=b"1")
    dev, clients = _dev(), Clients(*map(cloud.client, Clients._fields))
    for _ in ("first", "again"):
        lines = list(destroy(dev, clients))
    assert f"{PREFIX}-roles: gone" in lines
    found = cloud.client("cloudformation").describe_stacks()["Stacks"]
    left = {each["StackName"] for each in found if each["StackStatus"] != "DELETE_COMPLETE"}
    assert left == {f"{PREFIX}-{stack}" for stack in ("storage", "secrets", "pipeline")}
    assert cloud.client("ecs").list_clusters()["clusterArns"] == []
    assert s3.list_objects_v2(Bucket=f"{PREFIX}-{ACCOUNT}-lake")["KeyCount"] == 1
    assert s3.list_objects_v2(Bucket=f"{PREFIX}-{ACCOUNT}-logs")["KeyCount"] == 0


def _dev() -> Any:
    from deploy.environment import named

    return named("dev")
