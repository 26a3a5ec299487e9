"""`data-platform preview`: whose session reads a table."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from data_platform.cli import rows
from data_platform.environment import Settings
from data_platform_tests.test_environment import LOCAL_ENDPOINTS


@pytest.mark.parametrize(
    ("asset", "user"),
    [
        ("raw/harbor_water/meter_readings", "DATA_PLATFORM"),
        ("staging/harbor_water/stg_meter_readings", "DATA_PLATFORM_DBT"),
        ("marts/city_daily", "DATA_PLATFORM_DBT"),
    ],
)
def test_models_are_read_by_dbts_user_as_the_loader_may_not_see_all(
    monkeypatch: pytest.MonkeyPatch, asset: str, user: str
) -> None:
    asked: list[str] = []

    def fetched(wanted: Settings, query: str, limit: int) -> tuple[list[str], list[tuple[int]]]:
        asked.append(wanted.snowflake.user)
        return ["N"], [(1,)]

    monkeypatch.setattr(rows, "settings", lambda: Settings.from_environment(LOCAL_ENDPOINTS))
    monkeypatch.setattr(rows, "_personal", lambda *_: set())
    monkeypatch.setattr(rows, "_fetched", fetched)
    shown = CliRunner().invoke(rows.preview, [asset])
    assert (shown.exit_code, asked) == (0, [user]), shown.output
