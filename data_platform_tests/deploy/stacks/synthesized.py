"""Synthesizes the stacks, and finds resources and policy statements in the templates, with references as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

Resource = dict[str, Any]


class Statement(NamedTuple):
    """One statement of an IAM policy: whose it is, its Sid, actions, resources and conditions."""

    owner: str
    sid: str
    effect: str
    actions: list[str]
    resources: list[str]
    conditions: dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """The assembly's folder, and the templates by (environment, stack)."""

    folder: Path
    templates: dict[tuple[str, str], dict[str, Any]]
    findings: dict[str, list[str]]
    """{rule of cdk-nag or of CloudFormation's validation: constructs that break it}"""

    def resources(self, environment: str, kind: str) -> Iterator[tuple[str, Resource]]:
        """(stack/logical id, properties) of an environment's resources of a type."""
        for (of, stack), template in self.templates.items():
            if of == environment:
                for name, resource in template["Resources"].items():
                    if resource["Type"] == kind:
                        yield f"{stack}/{name}", resource.get("Properties", {})

    def roles(self, environment: str) -> dict[str, Resource]:
        """The roles by name, which is without the environment's prefix."""
        found = (role for _, role in self.resources(environment, "AWS::IAM::Role") if "RoleName" in role)
        return {role["RoleName"].removeprefix(f"data-platform-{environment}-"): role for role in found}

    def statements(self, environment: str) -> Iterator[Statement]:
        """Every statement that gives a role permissions."""
        for _, policy in self.resources(environment, "AWS::IAM::Policy"):
            owner = text(policy["PolicyName"]).removeprefix(f"data-platform-{environment}-")
            for each in policy["PolicyDocument"]["Statement"]:
                yield Statement(
                    owner,
                    each.get("Sid", ""),
                    each["Effect"],
                    listed(each["Action"]),
                    listed(each["Resource"]),
                    each.get("Condition", {}),
                )


def smoke_test_on() -> AbstractContextManager[Any]:
    """As if the project declared the partner `smoke`."""
    return patch("deploy.stacks.secrets.declares_smoke", return_value=True)


def synthesize(folder: Path) -> Synthesized:
    """Synthesizes all environments into the folder, with cdk-nag's AWS solutions rules. The smoke test is turned on,
    whatever the project declares: the templates then allow the most."""
    from deploy import app as deployment  # isort: skip  it chooses the Node that CDK starts
    from cdk_nag import AwsSolutionsChecks

    from deploy.environment import environments

    with smoke_test_on():
        app = deployment.build(environments(), outdir=str(folder))
    deployment.cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError as error:  # also for findings that the tests expect
        if "ValidationFailed" not in str(error):
            raise
    templates = {}
    for path in sorted(folder.glob("*.template.json")):
        environment, stack = path.name.removesuffix(".template.json").removeprefix("data-platform-").split("-", 1)
        templates[environment, stack] = json.loads(path.read_text(encoding="utf-8"))
    findings: dict[str, list[str]] = {}
    for plugin in json.loads((folder / "validation-report.json").read_text(encoding="utf-8"))["pluginReports"]:
        for violation in plugin["violations"]:
            constructs = [each["constructPath"] for each in violation["violatingConstructs"]]
            findings.setdefault(violation["ruleName"], []).extend(constructs)
    return Synthesized(folder, templates, findings)


def listed(value: Any) -> list[str]:
    """One or more values as texts."""
    return [text(each) for each in (value if isinstance(value, list) else [value])]


def text(value: Any) -> str:
    """A text; a reference to another resource as `${name}`."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(text(part) for part in parts)
    if "Fn::GetAtt" in value:
        return "${" + ".".join(value["Fn::GetAtt"]) + "}"
    return "${" + str(value.get("Ref") or value.get("Fn::ImportValue") or json.dumps(value)) + "}"
