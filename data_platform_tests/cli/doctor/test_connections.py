"""What the doctor says about sessions with Snowflake: the platform's, and dbt's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import dagster as dg
import pytest

from data_platform.cli.doctor.connections import dbt, runs_without_process
from data_platform.environment import Settings
from data_platform_tests.test_environment import LOCAL_ENDPOINTS
from data_platform_tests.transform.test_profile import edit, project

__all__ = ["project"]


@pytest.fixture
def settings(project: Path) -> Settings:
    return Settings.from_environment({**LOCAL_ENDPOINTS, "DATA_PLATFORM_DBT_PROJECT_DIR": str(project)})


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The role, warehouse and database that Snowflake gives to a session: null for one that the user may not use."""
    given: dict[str, Any] = {}

    def connect(wanted: Settings, **_: Any) -> Any:
        if "error" in given:
            raise given["error"]
        names = {name: getattr(wanted.snowflake, name) for name in ("role", "warehouse", "database")}
        connection = MagicMock()
        connection.cursor.return_value.__enter__.return_value.fetchone.return_value = (*{**names, **given}.values(),)
        return connection

    monkeypatch.setattr("data_platform.warehouse.connection.connect", connect)
    return given


def test_dbt_signs_in_with_the_values_of_its_profile(
    settings: Settings, session: dict[str, Any], project: Path
) -> None:
    edit(project, "{{ env_var('SNOWFLAKE_ROLE') }}", "DBT_BUILDER")
    found = {finding.subject: (finding.state, finding.found) for finding in dbt(settings)}
    assert found["dbt"] == ("ok", "signed in to local as DATA_PLATFORM_DBT")
    assert found["dbt role"] == ("ok", "DBT_BUILDER")


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ("role", "GRANT it to DATA_PLATFORM_DBT"),
        ("warehouse", "GRANT it to DATA_PLATFORM_TRANSFORMER"),
        ("database", "GRANT it to DATA_PLATFORM_TRANSFORMER"),
    ],
)
def test_what_dbts_user_may_not_use_is_named(kind: str, fix: str, settings: Settings, session: dict[str, Any]) -> None:
    session[kind] = None
    (failed,) = (finding for finding in dbt(settings) if finding.state == "failed")
    assert failed.subject == f"dbt {kind}"
    assert failed.found == f"{getattr(settings.as_dbt().snowflake, kind)} doesn't exist, or is not granted"
    assert failed.fix.endswith(fix)


def test_snowflakes_reason_for_refusing_dbt_is_shown(settings: Settings, session: dict[str, Any]) -> None:
    session["error"] = ValueError("Role 'X' specified in the connect string does not exist or not authorized.")
    (failed,) = dbt(settings)
    assert failed.found.startswith("signing in to local: Role 'X' specified")
    assert "the role DATA_PLATFORM_TRANSFORMER" in failed.fix


def test_a_profile_that_lacks_a_variable_is_named(settings: Settings, session: dict[str, Any], project: Path) -> None:
    edit(project, "env_var('SNOWFLAKE_ROLE')", "env_var('DBT_ROLE')")
    (failed,) = dbt(settings)
    assert "profiles.yml needs the variable DBT_ROLE, which is not set" in failed.found
    assert "data-platform dbt debug" in failed.fix


def test_a_started_run_without_a_process_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "adopt", lambda self: self)
    given = settings.model_copy(update={"state_dir": tmp_path})
    with dg.instance_for_test() as instance:
        assert [finding.state for finding in runs_without_process(given)] == ["ok"]
        run = instance.add_run(dg.DagsterRun(job_name="daily"))
        start = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "daily")
        instance.report_dagster_event(start, run.run_id, timestamp=time.time() - 90)
        (finding,) = runs_without_process(given)
    assert finding.state == "failed"
    assert finding.found == f"run {run.run_id[:8]} of daily is shown as started, but has no process"
