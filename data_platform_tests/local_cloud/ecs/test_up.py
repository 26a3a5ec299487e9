"""`data-platform up --ecs`: what it makes, what it writes down, and what a run's task then sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from data_platform.environment import RunsOn, Settings
from data_platform.environment.groups import CONNECTION
from data_platform.local_cloud.ecs.plan import CLUSTER, IMAGE, LOG_GROUP, LOGS_BUCKET
from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.local_cloud.clouds import client, environment
from data_platform_tests.local_cloud.ecs.conftest import until_status
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.server

TOKEN = "planted-token"
DATABASE = "postgresql://reader:planted-password@127.0.0.1:5432/records"
OWN = {
    "DATA_PLATFORM_TIME_ZONE": "Europe/Paris",
    "DATA_PLATFORM_CODE_TOKEN": TOKEN,
    "DATA_PLATFORM_CONNECTION_ARCHIVE": DATABASE,
}
SEEN = """
import json, os
from data_platform.environment import settings
found = settings().require_endpoints()
print(json.dumps({
    "zone": found.time_zone,
    "url": found.dagster_postgres_url.get_secret_value(),
    "key": found.snowflake.private_key.get_secret_value()[:27],
    "token": found.code.token.get_secret_value(),
    "database": found.connection("archive", "city_records/permits"),
    "keys": found.aws.access_key_id is not None,
    "state": str(found.state_dir.absolute()),
    "home": os.environ["HOME"],
}))
"""


@pytest.fixture(scope="module")
def tasked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = private_cloud(tmp_path_factory.mktemp("tasked"))
    cloud = LocalCloud(replace(cloud.spec, runs_on="ecs", own=OWN))
    try:
        cloud.up()
        yield cloud
    finally:
        cloud.down()


def again(cloud: LocalCloud, runs_on: RunsOn | None) -> Mapping[str, str]:
    other = LocalCloud(replace(cloud.spec, runs_on=runs_on))
    other.up()
    return environment(other)


def context(variables: Mapping[str, str]) -> dict[str, Any]:
    ecs: dict[str, Any] = json.loads(variables["DAGSTER_CONTAINER_CONTEXT"])["ecs"]
    return ecs


def test_it_makes_what_tasks_need(tasked: LocalCloud) -> None:
    (cluster,) = client(tasked, "ecs").describe_clusters(clusters=[CLUSTER])["clusters"]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    groups = client(tasked, "logs").describe_log_groups()["logGroups"]
    assert [(group["logGroupName"], group["retentionInDays"]) for group in groups] == [(LOG_GROUP, 30)]
    assert LOGS_BUCKET in [bucket["Name"] for bucket in client(tasked, "s3").list_buckets()["Buckets"]]
    settings = Settings.from_environment(environment(tasked)).require_endpoints()
    assert settings.runs_on == tasked.runs_on == "ecs"
    assert settings.ecs.cluster == CLUSTER
    assert settings.run_image == IMAGE
    for role in (settings.ecs.task_role_arn, settings.ecs.execution_role_arn):
        assert role is not None
        client(tasked, "iam").get_role(RoleName=role.rsplit("/", 1)[-1])
    assert "FargateRunLauncher" in (tasked.layout.dagster_home / "dagster.yaml").read_text()


def test_secrets_are_named_in_the_container_context_and_nowhere_shown(tasked: LocalCloud) -> None:
    variables = environment(tasked)
    found = context(variables)
    manager = client(tasked, "secretsmanager")
    secrets = {
        secret["name"]: manager.get_secret_value(SecretId=secret["valueFrom"])["SecretString"]
        for secret in found["secrets"]
    }
    connections = {name: value for name, value in variables.items() if name.startswith(CONNECTION)}
    assert {f"{CONNECTION}CITY_RECORDS", f"{CONNECTION}CARTO"} <= connections.keys()
    assert secrets == {
        **connections,
        "DAGSTER_POSTGRES_URL": variables["DAGSTER_POSTGRES_URL"],
        "SNOWFLAKE_PRIVATE_KEY": (tasked.layout.keys / "snowflake.p8").read_text(),
        "SNOWFLAKE_DBT_PRIVATE_KEY": (tasked.layout.keys / "snowflake.p8").read_text(),
        "DATA_PLATFORM_CODE_TOKEN": TOKEN,
        f"{CONNECTION}ARCHIVE": DATABASE,
    }
    for secret in (*secrets.values(), variables["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in variables["DAGSTER_CONTAINER_CONTEXT"]
    plain = dict(entry.split("=", 1) for entry in found["env_vars"])
    assert plain["DATA_PLATFORM_TIME_ZONE"] == "Europe/Paris"
    assert plain["SNOWFLAKE_PORT"] == variables["SNOWFLAKE_PORT"]
    assert not plain.keys() & {"DATA_PLATFORM_STATE_DIR", "DAGSTER_HOME", "SNOWFLAKE_PRIVATE_KEY_PATH"}
    assert not [name for name in plain if name.endswith("PRIVATE_KEY_PATH")]


def test_doctor_starts_a_task_as_the_daemon_starts_a_runs(tasked: LocalCloud) -> None:
    code = (
        "import json; from dataclasses import asdict; from data_platform.environment import settings;"
        "from data_platform.cli.doctor.deep.task import task; print(json.dumps([asdict(f) for f in task(settings())]))"
    )
    variables = {**os.environ, **environment(tasked)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout.splitlines()[-1])
    assert [each["subject"] for each in findings if each["state"] != "ok"] == [], findings
    assert len(findings) == 6
    listed = client(tasked, "s3").list_objects_v2(Bucket=variables["DATA_PLATFORM_LAKE_BUCKET"], Prefix="extracts/")
    assert listed["KeyCount"] == 0, "it left something behind"


def run_seen(cloud: LocalCloud) -> dict[str, Any]:
    """What a new task of the task definition `seen` sees."""
    settings, ecs = Settings.from_environment(environment(cloud)), client(cloud, "ecs")
    network = {"subnets": settings.ecs.subnets, "securityGroups": settings.ecs.security_groups}
    arn = ecs.run_task(
        cluster=CLUSTER,
        taskDefinition="seen",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )["tasks"][0]["taskArn"]
    task = until_status(ecs, CLUSTER, arn, "STOPPED")
    printed = (cloud.layout.root / "logs" / "tasks" / f"{arn.rsplit('/', 1)[-1]}-run.log").read_text()
    assert task["containers"][0]["exitCode"] == 0, printed
    seen: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return seen


@pytest.fixture(scope="module")
def defined(tasked: LocalCloud) -> LocalCloud:
    """The cloud with the task definition `seen`."""
    settings = Settings.from_environment(environment(tasked))
    found = context(environment(tasked))
    ecs = client(tasked, "ecs")
    container = {
        "name": "run",
        "image": IMAGE,
        "command": ["python", "-c", SEEN],
        "environment": [dict(zip(("name", "value"), entry.split("=", 1), strict=True)) for entry in found["env_vars"]],
        "secrets": found["secrets"],
    }
    ecs.register_task_definition(
        family="seen",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=settings.ecs.execution_role_arn,
        containerDefinitions=[container],
    )
    return tasked


def test_a_task_of_the_local_image_has_its_settings_and_no_file_of_the_developer(defined: LocalCloud) -> None:
    seen = run_seen(defined)
    assert seen["zone"] == "Europe/Paris"
    assert seen["url"] == environment(defined)["DAGSTER_POSTGRES_URL"]
    assert seen["key"] == "-----BEGIN PRIVATE KEY-----"
    assert (seen["token"], seen["database"]) == (TOKEN, DATABASE)
    assert not seen["keys"], "its role signs"
    assert seen["state"] == f"{seen['home']}/.local"


def test_the_next_task_has_a_rotated_secret_without_a_deploy(defined: LocalCloud) -> None:
    """ECS reads secrets when a task starts; the task definition, and the run's context, stay as they are."""
    rotated = DATABASE.replace("127.0.0.1", "localhost")
    (arn,) = (
        secret["valueFrom"]
        for secret in context(environment(defined))["secrets"]
        if secret["name"] == "DATA_PLATFORM_CONNECTION_ARCHIVE"
    )
    manager = client(defined, "secretsmanager")
    manager.put_secret_value(SecretId=arn, SecretString=rotated)
    try:
        assert run_seen(defined)["database"] == rotated
    finally:
        manager.put_secret_value(SecretId=arn, SecretString=DATABASE)


def test_it_is_remembered_until_it_is_taken_back(tasked: LocalCloud) -> None:
    assert again(tasked, None)["DATA_PLATFORM_RUNS_ON"] == "ecs"
    without = again(tasked, "process")
    assert without["DATA_PLATFORM_RUNS_ON"] == "process"
    assert "DAGSTER_CURRENT_IMAGE" not in without
    assert again(tasked, None)["DATA_PLATFORM_RUNS_ON"] == "process"
    assert again(tasked, "ecs")["DAGSTER_CURRENT_IMAGE"] == IMAGE
