"""Dagster's instance on the local cloud: the configuration is Dagster's own, and it works."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from data_platform.local_cloud import dagster_home


@pytest.mark.server
def test_the_written_configuration_makes_a_working_instance(
    local_cloud: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(local_cloud["DAGSTER_HOME"])
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", local_cloud["DAGSTER_POSTGRES_URL"])

    @dg.asset
    def reached() -> int:
        return 1

    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert type(instance.schedule_storage).__name__ == "PostgresScheduleStorage"
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert not instance.telemetry_enabled
        assert Path(instance.storage_directory()).is_relative_to(home)
        assert dg.materialize([reached], instance=instance).success
        assert instance.get_latest_materialization_event(reached.key) is not None
    assert list((home / "storage").rglob("*")), "artifacts and compute logs stay below the state directory"


def test_the_configuration_names_no_secret(tmp_path: Path) -> None:
    dagster_home.write(tmp_path / "dagster")
    text = (tmp_path / "dagster" / "dagster.yaml").read_text()
    assert "env: DAGSTER_POSTGRES_URL" in text
    assert "postgresql://" not in text
