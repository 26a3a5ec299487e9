"""Dagster's instance: one template for every place, Dagster's own configuration, and it works."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import yaml

from data_platform.environment import Settings, SettingsError
from data_platform.environment.groups import fields_of
from data_platform.runs import instance
from data_platform.runs.sizes import DEFAULT
from data_platform_tests.dagster_internals import checked_configuration, configured
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.test_environment import PRODUCTION as ANY_PRODUCTION

PRODUCTION = {
    **ANY_PRODUCTION,
    "DATA_PLATFORM_LOGS_BUCKET": "team-logs",
    "DATA_PLATFORM_ECS_CLUSTER": "data-platform",
    "DATA_PLATFORM_ECS_SUBNETS": "subnet-a,subnet-b",
    "DATA_PLATFORM_ECS_SECURITY_GROUPS": "sg-c",
    "DATA_PLATFORM_ECS_LOG_GROUP": "/data-platform/runs",
    "DATA_PLATFORM_ECS_TASK_ROLE_ARN": "arn:aws:iam::123456789012:role/run",
    "DATA_PLATFORM_ECS_EXECUTION_ROLE_ARN": "arn:aws:iam::123456789012:role/start",
    "DAGSTER_HOME": "/tmp/dagster",
    "DAGSTER_POSTGRES_URL": "postgresql://dagster:planted-password@db.example.org/dagster",
}
TEMPLATE = instance.TEMPLATE.read_text()


def _rendered(environment: Mapping[str, str]) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(instance.render(TEMPLATE, Settings.from_environment(environment)))
    return document


@pytest.mark.parametrize("environment", [PRODUCTION, {}], ids=["tasks", "processes"])
def test_it_is_what_dagster_takes(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", PRODUCTION["DAGSTER_POSTGRES_URL"])
    document = yaml.safe_load(instance.write(tmp_path, Settings.from_environment(environment)).read_text())
    assert checked_configuration(tmp_path)["run_retries"] == {"enabled": True, "max_retries": 1}
    for name in ("run_coordinator", "run_launcher", "compute_logs"):  # checked when an instance is made, which connects
        if name in document:
            assert type(configured(document[name])).__name__ == document[name]["class"]


def test_on_a_laptop_only_what_speaks_of_ecs_is_missing() -> None:
    tasks, processes = _rendered(PRODUCTION), _rendered({})
    assert set(tasks) - set(processes) == {"run_launcher", "compute_logs"}
    assert {name for name in processes if processes[name] != tasks[name]} == {"concurrency"}, "fewer runs at a time"


def test_the_secret_with_the_databases_password_is_named_where_rds_changes_it() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1a2b-Ab3dEf"
    storage = yaml.safe_dump(_rendered({**PRODUCTION, "DAGSTER_POSTGRES_SECRET_ARN": arn})["storage"])
    assert f"password_secret: {arn}" in storage
    assert "password_secret" not in yaml.safe_dump(_rendered(PRODUCTION)["storage"])


def test_what_processes_print_goes_to_a_bucket_where_one_is_named() -> None:
    rendered = _rendered({"DATA_PLATFORM_LOGS_BUCKET": "team-logs", "DAGSTER_HOME": "/tmp/dagster"})
    assert "run_launcher" not in rendered
    assert rendered["compute_logs"] == _rendered(PRODUCTION)["compute_logs"]


def test_each_setting_of_the_template_is_one_of_the_platforms() -> None:
    known = {variable for variable, _, _ in fields_of(Settings.from_environment({}))}
    assert set(re.findall(r"\$\{(\w+)\}", yaml.safe_dump(yaml.safe_load(TEMPLATE)))) <= known


def test_every_setting_that_is_missing_is_named_with_an_example() -> None:
    given = {name: value for name, value in PRODUCTION.items() if "_ECS_" not in name}
    with pytest.raises(SettingsError) as error:
        _rendered(given)
    for variable in ("CLUSTER", "SUBNETS", "SECURITY_GROUPS", "LOG_GROUP", "TASK_ROLE_ARN", "EXECUTION_ROLE_ARN"):
        assert re.search(
            rf"DATA_PLATFORM_ECS_{variable} is missing: .* for example DATA_PLATFORM_ECS_", str(error.value)
        )


def test_the_configuration_names_no_secret(tmp_path: Path) -> None:
    text = instance.write(tmp_path, Settings.from_environment(PRODUCTION)).read_text()
    assert "env: DAGSTER_POSTGRES_URL" in text
    assert "planted-password" not in text and "postgresql://" not in text


def test_runs_that_come_round_the_queue_have_the_default_size() -> None:
    launcher = _rendered(PRODUCTION)["run_launcher"]
    assert isinstance(launcher, dict)
    assert launcher["config"]["run_resources"] == {"cpu": str(DEFAULT.cpu), "memory": str(DEFAULT.memory)}


@contextmanager
def _dagster(local_cloud: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL"):
        monkeypatch.setenv(name, local_cloud[name])
    with dg.DagsterInstance.get() as found:
        yield found


@pytest.mark.server
def test_the_written_configuration_makes_a_working_instance(
    local_cloud: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def reached() -> int:
        return 1

    home = Path(local_cloud["DAGSTER_HOME"])
    with _dagster(local_cloud, monkeypatch) as found:
        assert type(found.run_coordinator).__name__ == "PlatformRunCoordinator"
        assert found.run_monitoring_enabled and found.run_retries_enabled and not found.telemetry_enabled
        assert Path(found.storage_directory()).is_relative_to(home)
        assert dg.materialize([reached], instance=found).success
        assert found.get_latest_materialization_event(reached.key) is not None
    assert list((home / "storage").rglob("*")), "artifacts and compute logs stay below the state directory"


@pytest.mark.server
def test_connections_are_kept_between_statements_and_given_back_at_the_end(
    local_cloud: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = psycopg2.connect(local_cloud["DAGSTER_POSTGRES_URL"])
    watcher.autocommit = True

    def sessions() -> set[int]:
        with watcher.cursor() as cursor:
            cursor.execute(
                "select pid from pg_stat_activity where datname = 'dagster' and pid <> pg_backend_pid()"
                " and backend_type = 'client backend'"  # PostgreSQL's own come and go
            )
            return {pid for (pid,) in cursor.fetchall()}

    before = sessions()
    with _dagster(local_cloud, monkeypatch) as found:
        found.get_runs(limit=1)
        opened = sessions() - before
        for _ in range(20):
            found.get_runs(limit=1)
        assert len(opened) == 1 and sessions() - before == opened
    wait_for(lambda: not sessions() & opened, 60, "the connection is given back", every=0.05)
    watcher.close()
