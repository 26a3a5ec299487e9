"""Two environments in one account: no role of one may touch what belongs to the other. Both environments' templates are
put into one account, and every permission is matched with every ARN of the other environment, as IAM matches them
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html: `*` and `?` are the wildcards)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_platform_tests.deploy.folders import LAKE, LANDING
from data_platform_tests.deploy.stacks.synthesized import Statement, Synthesized

ACCOUNT, OTHER_ACCOUNT, REGION = "111111111111", "222222222222", "us-east-1"
OTHER = {"dev": "prod", "prod": "dev"}
NO_RESOURCE = {"ecr:GetAuthorizationToken", "ecs:RegisterTaskDefinition", "ecs:DescribeTaskDefinition"}
"""AWS knows neither a resource nor a fitting condition for these. None of them changes what exists: a daemon may
register a definition, but launch only families of its own, and pass on only the roles of its own runs."""


@pytest.fixture(scope="session")
def one_account(cdk: Synthesized) -> Synthesized:
    """The templates as of two environments in one account: names hold the account as text, and nothing else differs."""
    text = json.dumps([[*key, template] for key, template in cdk.templates.items()]).replace(OTHER_ACCOUNT, ACCOUNT)
    return Synthesized(Path(), {(of, stack): template for of, stack, template in json.loads(text)}, {})


def test_no_role_touches_the_other_environment(one_account: Synthesized, environment: str) -> None:
    permissions = list(permissions_of(one_account, environment))
    theirs = arns(one_account, OTHER[environment])
    assert len({each.owner for each in permissions}) > 12
    assert len(theirs) > 60
    assert list(crossings(permissions, theirs)) == []


def test_every_role_touches_its_own_environment(one_account: Synthesized, environment: str) -> None:
    """Otherwise the test above would pass for policies that match nothing."""
    permissions = [each for each in permissions_of(one_account, environment) if "*" not in each.resources]
    ours = arns(one_account, environment)
    shared = {"arn:aws:ecr:us-east-1:111111111111:repository/data-platform"}
    idle = [
        (each.owner, each.sid)
        for each in permissions
        if not list(crossings([each._replace(conditions={})], ours)) and not shared & set(each.resources)
    ]
    assert idle == []


@pytest.mark.parametrize(
    ("action", "resource", "conditions"),
    [
        ("s3:GetObject", "arn:aws:s3:::data-platform-*/extracts/*", {}),
        ("s3:PutObject", "arn:aws:s3:::data-platform-????-111111111111-lake/*", {}),
        ("ecs:StopTask", "*", {}),
        ("ecs:ListTasks", "*", {"ArnLike": {"ecs:cluster": "arn:aws:ecs:us-east-1:111111111111:cluster/*"}}),
        ("iam:PassRole", "arn:aws:iam::111111111111:role/data-platform-*", {}),
        ("sts:AssumeRole", "arn:aws:iam::111111111111:role/cdk-*-deploy-role-111111111111-us-east-1", {}),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:111111111111:secret:*", {}),
        ("kms:Decrypt", "arn:aws:kms:us-east-1:111111111111:key/*", {}),
        ("ecs:RunTask", "arn:aws:ecs:us-east-1:111111111111:task-definition/data-platform-*:*", {}),
        ("logs:GetLogEvents", "arn:aws:logs:us-east-1:111111111111:log-group:/data-platform-*", {}),
        ("*", "*", {}),
    ],
)
def test_a_policy_that_is_too_wide_is_found(
    one_account: Synthesized, action: str, resource: str, conditions: dict[str, Any]
) -> None:
    wrong = Statement("run", "Wrong", "Allow", [action], [resource], conditions)
    assert list(crossings([wrong], arns(one_account, "prod")))


def test_no_permission_is_anywhere_else(one_account: Synthesized, environment: str) -> None:
    """`permissions_of` reads policies of roles: there are no other kinds that would escape it."""
    assert not list(one_account.resources(environment, "AWS::IAM::ManagedPolicy"))
    for name, role in one_account.resources(environment, "AWS::IAM::Role"):
        assert "Policies" not in role, name
        managed = json.dumps(role.get("ManagedPolicyArns", []))
        assert managed == "[]" or "AmazonRDSEnhancedMonitoringRole" in managed, name


def crossings(permissions: Iterable[Statement], theirs: Iterable[str]) -> Iterator[str]:
    """Each permission that reaches one of these ARNs, as a sentence."""
    found = list(theirs)
    for each in permissions:
        actions = {action for action in each.actions if action not in NO_RESOURCE}
        for action in sorted(actions):
            service = action.partition(":")[0]
            for arn in found:
                named = service in ("*", arn.split(":")[2]) or (service == "sts" and ":role/" in arn)
                if named and any(matches(pattern, arn) for pattern in each.resources) and may_hold(each, arn):
                    yield f"{each.owner} ({each.sid}): {action} on {arn}"


def may_hold(statement: Statement, arn: str) -> bool:
    """Whether the condition on the cluster allows this cluster, task or task definition. Other conditions are about who
    calls and how, which the other environment's resources don't change."""
    for kind in ("ArnEquals", "ArnLike"):
        cluster = statement.conditions.get(kind, {}).get("ecs:cluster")
        of = re.search(r"data-platform-(?:dev|prod)", arn)
        if cluster and of:
            return matches(cluster, f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{of[0]}")
    return True


def matches(pattern: str, arn: str) -> bool:
    """Whether IAM's pattern matches the ARN."""
    parts = re.split(r"([*?])", pattern)
    return bool(re.fullmatch("".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts), arn))


def permissions_of(cdk: Synthesized, environment: str) -> Iterator[Statement]:
    """Every permission of an environment's roles, with the ARNs that references stand for."""
    for (of, stack), template in cdk.templates.items():
        for resource in template["Resources"].values() if of == environment else ():
            if resource["Type"] == "AWS::IAM::Policy":
                policy = resource["Properties"]
                (role,) = policy["Roles"]
                owner = template["Resources"][role["Ref"]]["Properties"].get("RoleName", role["Ref"])
                for each in policy["PolicyDocument"]["Statement"]:
                    yield Statement(
                        owner,
                        each.get("Sid", ""),
                        each["Effect"],
                        _list(each["Action"]),
                        [resolved(cdk, of, stack, one) for one in _list(each["Resource"])],
                        each.get("Condition", {}),
                    )


def arns(cdk: Synthesized, environment: str) -> list[str]:
    """What belongs to an environment: its resources, objects in its buckets, the tasks and definitions that its daemon
    makes, its log streams, and the roles that deploy it."""
    prefix, here = f"data-platform-{environment}", f"{REGION}:{ACCOUNT}"
    found = [
        f"arn:aws:ecs:{here}:task/{prefix}/0a1b",
        *(f"arn:aws:ecs:{here}:task-definition/{prefix}_{each}_0a1b:7" for each in ("run", "doctor")),
        f"arn:aws:cloudformation:{here}:stack/{prefix}-network/0a1b",
        *(
            f"arn:aws:iam::{ACCOUNT}:role/cdk-dp{environment}-{each}-role-{ACCOUNT}-{REGION}"
            for each in ("deploy", "file-publishing", "cfn-exec", "lookup")
        ),
    ]
    for (of, _), template in cdk.templates.items():
        for name, resource in template["Resources"].items() if of == environment else ():
            given = resource.get("Properties", {})
            kind = resource["Type"]
            if kind == "AWS::S3::Bucket":
                bucket = f"arn:aws:s3:::{given['BucketName']}"
                folders = sorted({"_doctor", *LAKE, *LANDING})
                users = [user["UserName"] for _, user in cdk.resources(of, "AWS::Transfer::User")]
                partners = ("water", "_doctor", "smoke", *users)
                found += [bucket, *(f"{bucket}/{each}/{who}/b" for each in folders for who in partners)]
                found += [f"{bucket}/compute-logs/a", f"{bucket}/a"]
            elif kind == "AWS::Logs::LogGroup":
                group = f"arn:aws:logs:{here}:log-group:{given['LogGroupName']}"
                found += [group, f"{group}:*", f"{group}:log-stream:a/b/c"]
            elif kind == "AWS::IAM::Role":
                found.append(f"arn:aws:iam::{ACCOUNT}:role/{given.get('RoleName', f'{prefix}-{name}')}")
            elif kind == "AWS::ECS::TaskDefinition":
                found.append(f"arn:aws:ecs:{here}:task-definition/{given['Family']}:7")
            elif kind in REFERENCED:
                found.append(_arn(of, name, resource))
    return found


REFERENCED = {
    "AWS::KMS::Key": "kms:{here}:key/{name}",
    "AWS::SecretsManager::Secret": "secretsmanager:{here}:secret:{name}-AbCdEf",
    "AWS::RDS::DBInstance": "secretsmanager:{here}:secret:rds!db-{name}",
    "AWS::SNS::Topic": "sns:{here}:{name}",
    "AWS::ECS::Cluster": "ecs:{here}:cluster/{name}",
    "AWS::ECS::Service": "ecs:{here}:service/{name}",
}
"""The ARN of what templates refer to; of a database, that of the secret with its password."""


def _arn(environment: str, name: str, resource: dict[str, Any]) -> str:
    given = resource.get("Properties", {})
    named = next((given[each] for each in ("Name", "TopicName", "ClusterName", "ServiceName") if each in given), None)
    named = named if isinstance(named, str) else f"data-platform-{environment}-{name}"
    return "arn:aws:" + REFERENCED[resource["Type"]].format(here=f"{REGION}:{ACCOUNT}", name=named)


def resolved(cdk: Synthesized, environment: str, stack: str, value: Any) -> str:
    """A resource of a policy as an ARN or pattern: follows references into other stacks."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(resolved(cdk, environment, stack, part) for part in parts)
    if "Fn::ImportValue" in value:
        of = value["Fn::ImportValue"].partition(":")[0].removeprefix(f"data-platform-{environment}-")
        outputs = cdk.templates[environment, of]["Outputs"].values()
        (found,) = (each["Value"] for each in outputs if each.get("Export", {}).get("Name") == value["Fn::ImportValue"])
        return resolved(cdk, environment, of, found)
    name = value["Fn::GetAtt"][0] if "Fn::GetAtt" in value else value["Ref"]
    return _arn(environment, name, cdk.templates[environment, stack]["Resources"][name])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
