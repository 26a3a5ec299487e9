"""The templates: encryption, no public access, TLS, one daemon, and exactly the resources of the snapshot.

`python -m data_platform_tests.deploy.stacks.test_templates` rewrites the snapshot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import dagster
import pytest
import yaml

from data_platform.automation.metric_lines import MARK, NAMES, line
from data_platform.environment import Settings
from data_platform.runs.instance import TEMPLATE, render
from data_platform_tests.deploy.dockerfile import ROOT
from data_platform_tests.deploy.stacks.synthesized import Synthesized, synthesize, text
from deploy.operate import NETWORK

SNAPSHOT = Path(__file__).with_name("resources.snapshot.json")
DECLARED = ("secrets", "sftp")
"""Stacks with a resource per connection or partner."""
ACCEPTED = {
    "AwsSolutions-EC23": "The load balancer accepts HTTPS from everywhere: people sign in first",
    "AwsSolutions-ECS2": "Variables hold settings; secrets come from Secrets Manager by ARN",
    "AwsSolutions-IAM4": "Enhanced monitoring of RDS: AWS's own policy, for a role that only RDS assumes",
    "AwsSolutions-IAM5": "test_policies checks each star",
    "AwsSolutions-RDS3": "dev has one zone; prod has two",
    "AwsSolutions-RDS11": "The port of PostgreSQL isn't a secret",
    "AwsSolutions-SMG4": "Rotation is a procedure: tasks read a secret only when they start",
}
"""Findings of cdk-nag that stay, and why."""


def test_cdk_nag_finds_nothing_else(cdk: Synthesized) -> None:
    found = {rule.partition("[")[0]: paths for rule, paths in cdk.findings.items()}
    assert set(found) == set(ACCEPTED), {rule: paths for rule, paths in found.items() if rule not in ACCEPTED}
    assert all("dev" in path for path in found["AwsSolutions-RDS3"])


def test_cfn_lint_finds_nothing(cdk: Synthesized) -> None:
    templates = sorted(str(path) for path in cdk.folder.glob("*.template.json"))
    lint = Path(sys.executable).with_name("cfn-lint")
    # W3010: zones are named, so that synthesis needs no account.
    options = ["--non-zero-exit-code", "warning", "--ignore-checks", "W3010", "--"]
    done = subprocess.run([lint, *options, *templates], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_resources_are_those_of_the_snapshot(cdk: Synthesized) -> None:
    assert counted(cdk) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_no_bucket_is_public_or_takes_plain_http(cdk: Synthesized, environment: str) -> None:
    buckets = dict(cdk.resources(environment, "AWS::S3::Bucket"))
    assert len(buckets) == 4
    closed = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for name, bucket in buckets.items():
        assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(closed, True)
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        expected = "AES256" if "accesslogs" in name else "aws:kms"
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == expected
    for name, policy in cdk.resources(environment, "AWS::S3::BucketPolicy"):
        denied = [each["Condition"] for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied, name
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied, name


AUDIT_LOG = ("storage", "AWS::Logs::LogGroup")


def test_deleting_the_stacks_keeps_the_data(cdk: Synthesized, environment: str) -> None:
    kept = {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::ECR::Repository"}
    for (of, stack), template in cdk.templates.items():
        for name, resource in template["Resources"].items():
            if of == environment and (resource["Type"] in kept or (stack, resource["Type"]) == AUDIT_LOG):
                # Not `Retain`: what a failed creation left behind would be in the way of the next attempt.
                assert resource.get("DeletionPolicy") == "RetainExceptOnCreate", name
            if resource["Type"] == "AWS::RDS::DBInstance":
                assert resource["DeletionPolicy"] == "Snapshot"


def test_the_database_is_private_encrypted_and_recoverable(cdk: Synthesized, environment: str) -> None:
    ((_, database),) = cdk.resources(environment, "AWS::RDS::DBInstance")
    assert database["PubliclyAccessible"] is False
    assert database["StorageEncrypted"] is True
    assert database["DeletionProtection"] is True
    assert database["ManageMasterUserPassword"] is True, "RDS changes the password"
    assert database["BackupRetentionPeriod"] >= 7
    assert database["MultiAZ"] is (environment == "prod")
    ((_, parameters),) = cdk.resources(environment, "AWS::RDS::DBParameterGroup")
    assert parameters["Parameters"]["rds.force_ssl"] == "1"
    assert int(parameters["Parameters"]["max_connections"]) >= 200


def test_there_is_one_daemon_never_two(cdk: Synthesized, environment: str) -> None:
    services = {each["ServiceName"]: each for _, each in cdk.resources(environment, "AWS::ECS::Service")}
    assert set(services) == {f"data-platform-{environment}-{name}" for name in SERVICES}
    for name, service in services.items():
        rollout = service["DeploymentConfiguration"]
        least, most = (0, 100) if name.endswith("daemon") else (100, 200)
        assert (rollout["MinimumHealthyPercent"], rollout["MaximumPercent"]) == (least, most)
        assert rollout["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert service["LaunchType"] == "FARGATE"
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


SERVICES = ("viewer", "editor", "daemon", "code-server")


def test_every_task_is_locked_down(cdk: Synthesized, environment: str) -> None:
    definitions = dict(cdk.resources(environment, "AWS::ECS::TaskDefinition"))
    assert len(definitions) == len(SERVICES) + 1
    for name, definition in definitions.items():
        (container,) = definition["ContainerDefinitions"]
        assert container["ReadonlyRootFilesystem"] is True, name
        assert container["User"] == "10001:10001"
        assert container["StopTimeout"] == 120
        assert [mount["ContainerPath"] for mount in container["MountPoints"]] == ["/tmp"]
        assert "HealthCheck" in container or "operate" in name
        assert "@sha256:" in text(container["Image"])


def test_every_task_has_the_settings_that_it_starts_with(cdk: Synthesized, environment: str) -> None:
    """As `data_platform.start` does it: the database's secret, Dagster's instance, and for the code server, the runs'
    own settings."""
    for name, definition in cdk.resources(environment, "AWS::ECS::TaskDefinition"):
        (container,) = definition["ContainerDefinitions"]
        variables = {each["Name"]: text(each["Value"]) for each in container["Environment"]}
        secrets = {each["Name"] for each in container["Secrets"]}
        assert "DAGSTER_POSTGRES_SECRET" in secrets, name
        assert variables["DAGSTER_POSTGRES_SERVER"].endswith("/dagster")
        variables["DAGSTER_POSTGRES_SECRET_ARN"] = "arn:aws:secretsmanager:us-east-1:111111111111:secret:rds!db-1"
        variables["DAGSTER_HOME"] = "/tmp/dagster"
        settings = Settings.from_environment(variables)
        assert settings.sftp.host == f"sftp{'-dev' if environment == 'dev' else ''}.example.org"
        assert "FargateRunLauncher" in render(TEMPLATE.read_text(encoding="utf-8"), settings), name
        users = {"SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY", "SNOWFLAKE_READER_PRIVATE_KEY"}
        keys = {*users, "SMOKE_PRIVATE_KEY"}
        assert keys & secrets == (keys if "operate" in name else set())
        if "codeserver" in name:
            context = json.loads(variables["DAGSTER_CONTAINER_CONTEXT"])["ecs"]
            of_run = Settings.from_environment(dict(entry.split("=", 1) for entry in context["env_vars"]))
            assert of_run.environment == environment
            of_runs = {each["name"] for each in context["secrets"]}
            assert of_runs >= {"DAGSTER_POSTGRES_SECRET", "SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_DBT_PRIVATE_KEY"}
            assert not of_runs & {"SNOWFLAKE_READER_PRIVATE_KEY", "SMOKE_PRIVATE_KEY"}


def test_viewers_can_only_read(cdk: Synthesized, environment: str) -> None:
    commands = {
        definition["Family"]: definition["ContainerDefinitions"][0]["Command"]
        for _, definition in cdk.resources(environment, "AWS::ECS::TaskDefinition")
    }
    assert "--read-only" in commands[f"data-platform-{environment}-viewer"]
    assert "--read-only" not in commands[f"data-platform-{environment}-editor"]


def test_nothing_is_reached_without_signing_in_but_the_webhooks_post(cdk: Synthesized, environment: str) -> None:
    ((_, listener),) = cdk.resources(environment, "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    assert [action["Type"] for action in listener["DefaultActions"]] == ["fixed-response"]
    open_rules = []
    for _, rule in cdk.resources(environment, "AWS::ElasticLoadBalancingV2::ListenerRule"):
        first = min(rule["Actions"], key=lambda action: action.get("Order", 0))
        if first["Type"] != "authenticate-oidc":
            open_rules.append(rule)
    (webhook,) = open_rules
    conditions = {each["Field"]: each for each in webhook["Conditions"]}
    assert conditions["path-pattern"]["PathPatternConfig"]["Values"] == ["/webhook"]
    assert conditions["http-request-method"]["HttpRequestMethodConfig"]["Values"] == ["POST"]
    ((_, firewall),) = cdk.resources(environment, "AWS::WAFv2::WebACL")
    assert [rule["Name"] for rule in firewall["Rules"]] == ["webhook-rate"]


def test_only_the_load_balancer_accepts_connections_from_outside(cdk: Synthesized, environment: str) -> None:
    outside = {
        name
        for name, group in cdk.resources(environment, "AWS::EC2::SecurityGroup")
        for rule in group.get("SecurityGroupIngress", [])
        if rule.get("CidrIp") == "0.0.0.0/0"
    }
    assert {name.partition("/")[2][:12] for name in outside} == {"loadbalancer"}
    for _, group in cdk.resources(environment, "AWS::EC2::SecurityGroup"):
        assert all(rule.get("IpProtocol") != "-1" for rule in group.get("SecurityGroupEgress", []))


def test_only_one_off_tasks_reach_port_22(cdk: Synthesized, environment: str) -> None:
    groups = dict(cdk.resources(environment, "AWS::EC2::SecurityGroup"))
    reached = {
        (group["GroupName"].removeprefix(f"data-platform-{environment}-"), rule["CidrIp"], rule["ToPort"])
        for group in groups.values()
        for rule in group.get("SecurityGroupEgress", [])
        if rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 0)
    }
    assert reached == {("operate", "0.0.0.0/0", 22)}
    (own,) = (name for name, group in groups.items() if group["GroupName"].endswith("-operate"))
    assert "${" + own.partition("/")[2] in text(cdk.templates[environment, "network"]["Outputs"][NETWORK]["Value"])


def test_without_the_smoke_test_nothing_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above all no secret: one-off tasks would wait for its value."""
    from aws_cdk import assertions

    from deploy import app as deployment
    from deploy.environment import environments
    from deploy.stacks import secrets

    monkeypatch.setattr(secrets, "DEFS", tmp_path)
    given = environments()[0]
    stacks = deployment.stacks_of(deployment.cdk.App(context=deployment.FLAGS), given, deployment.NO_IMAGE)
    for purpose in ("secrets", "network", "roles", "cluster"):
        template = json.dumps(assertions.Template.from_stack(stacks[purpose]).to_json())
        assert "smoke-private-key" not in template and "SMOKE" not in template, purpose
        assert "/smoke/" not in template and '"ToPort": 22,' not in template, purpose


def test_a_partial_upload_is_deleted(cdk: Synthesized, environment: str) -> None:
    """As docs/partners.md says: it would be loaded as a whole file."""
    ((_, server),) = cdk.resources(environment, "AWS::Transfer::Server")
    (partial,) = server["WorkflowDetails"]["OnPartialUpload"]
    ((name, workflow),) = cdk.resources(environment, "AWS::Transfer::Workflow")
    assert text(partial["WorkflowId"]).startswith("${" + name.partition("/")[2])
    (step,) = workflow["Steps"]
    assert step["Type"] == "DELETE"
    assert step["DeleteStepDetails"]["SourceFileLocation"] == "${original.file}"


def test_no_template_holds_a_secrets_value(cdk: Synthesized, environment: str) -> None:
    for name, secret in cdk.resources(environment, "AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret, name
    for _, user in cdk.resources(environment, "AWS::ECS::TaskDefinition"):
        (container,) = user["ContainerDefinitions"]
        named = {each["Name"] for each in container.get("Secrets", [])}
        assert not named & {each["Name"] for each in container["Environment"]}


def test_the_keys_policy_names_no_role(cdk: Synthesized, environment: str) -> None:
    """A key's policy that named roles, whose policies name the key, would be a circle of stacks."""
    ((_, key),) = cdk.resources(environment, "AWS::KMS::Key")
    for statement in key["KeyPolicy"]["Statement"]:
        principal = statement["Principal"]
        assert "Service" in principal or text(principal["AWS"]).endswith(":root"), statement
    assert key["EnableKeyRotation"] is True


def test_a_wrong_environment_file_is_refused_with_the_field(tmp_path: Path) -> None:
    from pydantic import ValidationError

    from deploy.environment import read

    good = (ROOT / "deploy" / "environments" / "dev.yaml").read_text(encoding="utf-8")
    (tmp_path / "dev.yaml").write_text(good.replace("region:", "regoin:"), encoding="utf-8")
    with pytest.raises(ValidationError, match="regoin"):
        read(tmp_path / "dev.yaml")
    (tmp_path / "prod.yaml").write_text(good, encoding="utf-8")
    with pytest.raises(ValueError, match=r"prod\.yaml describes dev"):
        read(tmp_path / "prod.yaml")


def test_the_readmes_costs_are_those_of_the_environments_and_below_their_budgets() -> None:
    from click.testing import CliRunner

    from deploy import costs
    from deploy.environment import environments

    table = CliRunner().invoke(costs.main).output
    assert table.startswith("| USD | dev | prod |")
    assert table in (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for given in environments():
        assert sum(cost for _, cost in costs.at_rest(given, costs.read_prices().usd)) < given.monthly_budget_usd


def test_a_price_says_where_and_when_it_was_seen_or_the_table_says_that_nobody_looked() -> None:
    from click.testing import CliRunner

    from deploy import costs

    listed = yaml.safe_load(costs.PRICES.read_text(encoding="utf-8"))
    shown = CliRunner().invoke(costs.main).output.splitlines()[-1]
    for name, price in listed.items():
        assert ("source" in price) == ("seen" in price) == (name not in shown), name
        assert "source" not in price or price["source"].startswith("https://")


def test_one_off_tasks_find_their_network(cdk: Synthesized, environment: str) -> None:
    outputs = cdk.templates[environment, "network"]["Outputs"]
    assert text(outputs[NETWORK]["Value"]).count(";") == 1


def test_migrations_run_before_the_services_have_the_new_image(cdk: Synthesized, environment: str) -> None:
    """`deploy/release` deploys the cluster, runs one-off tasks with the new image, and then deploys the services."""
    manifest = json.loads((cdk.folder / "manifest.json").read_text(encoding="utf-8"))["artifacts"]

    def needed(stack: str) -> set[str]:
        direct = {each for each in manifest[stack].get("dependencies", ()) if not each.endswith(".assets")}
        return direct.union(*(needed(each) for each in direct))

    prefix = f"data-platform-{environment}"
    assert f"{prefix}-cluster" in needed(f"{prefix}-services")
    assert f"{prefix}-services" not in needed(f"{prefix}-cluster")


def test_the_picture_is_that_of_the_stacks() -> None:
    from deploy import picture

    assert picture.FILE.read_text(encoding="utf-8") == picture.svg(), "run `python -m deploy.picture`"


def test_alarms_listen_for_words_that_dagster_logs() -> None:
    from deploy.stacks.observability import SAID

    root = Path(dagster.__file__).parent
    files = (root / "_daemon").rglob("*.py"), (root / "_scheduler").rglob("*.py")
    sources = "".join(path.read_text(encoding="utf-8") for found in files for path in found)
    assert [said for said, _ in SAID.values() if said not in sources] == []


def test_alarms_watch_metrics_that_the_platform_prints(cdk: Synthesized, environment: str) -> None:
    """A filter's pattern matches the line that the code prints, also where the code server puts a word before it, and
    an alarm watches each filter's metric."""
    filters = [
        each["MetricTransformations"][0] | each
        for _, each in cdk.resources(environment, "AWS::Logs::MetricFilter")
        if MARK in each["FilterPattern"]
    ]
    assert {each["MetricName"] for each in filters} == set(NAMES)
    alarms = [each for _, each in cdk.resources(environment, "AWS::CloudWatch::Alarm")]
    for each in filters:
        name = each["MetricName"]
        assert each["MetricValue"] == "$value"
        words = re.findall(r'="([^"]+)"', each["FilterPattern"])
        assert each["FilterPattern"] == f'[..., mark="{words[0]}", name="{words[1]}", value]'
        for printed in (line(name, 42.4), f"[0a1b2c3] {line(name, 42.4)}"):
            assert printed.split()[-3:] == [*words, "42"]
        (alarm,) = (alarm for alarm in alarms if alarm.get("MetricName") == name)
        assert alarm["Namespace"] == each["MetricNamespace"] == f"data-platform-{environment}"


def test_an_existing_vpc_is_used_as_it_is() -> None:
    from deploy import app as deployment
    from deploy.environment import ExistingVpc, environments
    from deploy.stacks.network import NetworkStack

    given = environments()[0]
    there = ExistingVpc(
        id="vpc-0a1",
        cidr="10.0.0.0/16",
        private_subnets=("subnet-0a1", "subnet-0a2"),
        public_subnets=("subnet-0b1", "subnet-0b2"),
    )
    given = given.model_copy(update={"network": given.network.model_copy(update={"existing": there})})
    network = NetworkStack(deployment.cdk.App(), "network", given)
    assert network.private.subnet_ids == ["subnet-0a1", "subnet-0a2"]


def counted(cdk: Synthesized) -> dict[str, Any]:
    """{environment: {stack: {resource type: count}}}. Counts only 1 where `defs/` decides how many there are."""
    found: dict[str, Any] = {}
    for (environment, stack), template in cdk.templates.items():
        kinds = Counter(resource["Type"] for resource in template["Resources"].values())
        counts = dict.fromkeys(kinds, 1) if stack in DECLARED else kinds
        found.setdefault(environment, {})[stack] = dict(sorted(counts.items()))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = counted(synthesize(Path(folder)))
    SNAPSHOT.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
