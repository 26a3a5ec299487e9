"""A dbt process that was started ahead does what a new one would do."""

from __future__ import annotations

from pathlib import Path

from data_platform.environment import Settings
from data_platform.transform.ahead import started_ahead, take
from data_platform.transform.process import dbt_environment
from data_platform_tests.dbt.conftest import PROJECT


def test_it_runs_the_command_that_it_gets_later_in_the_environment_that_it_gets_later(tmp_path: Path) -> None:
    given = Settings.from_environment({"DATA_PLATFORM_STATE_DIR": str(tmp_path)})
    environment = dbt_environment(given, PROJECT, tmp_path / "later") | {"DBT_LOG_FORMAT": "json"}
    with started_ahead(given, PROJECT):
        process = take(PROJECT, ["ls", "--select", "city_daily", "--output", "name"], environment)
        assert process is not None
        assert take(PROJECT, ["ls"], environment) is None, "it runs one command"
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    assert '"msg": "city_daily"' in said.decode()
    assert (tmp_path / "later" / "dbt.log").exists()


def test_it_fails_as_dbt_does(tmp_path: Path) -> None:
    given = Settings.from_environment({"DATA_PLATFORM_STATE_DIR": str(tmp_path)})
    with started_ahead(given, PROJECT):
        process = take(PROJECT, ["ls", "--no-such-option"], dbt_environment(given, PROJECT, tmp_path / "later"))
        assert process is not None
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "No such option '--no-such-option'" in said.decode()


def test_it_ends_if_nobody_wants_it(tmp_path: Path) -> None:
    given = Settings.from_environment({"DATA_PLATFORM_STATE_DIR": str(tmp_path)})
    with started_ahead(given, PROJECT):
        pass
    assert take(PROJECT, ["ls"], {}) is None
