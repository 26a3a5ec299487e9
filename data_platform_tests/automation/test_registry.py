"""Which automation exists where: the registry fails closed."""

from __future__ import annotations

import pytest

from data_platform.automation.registry import AUTOMATION, RegistryError, active


def test_what_is_not_listed_stops_the_location() -> None:
    with pytest.raises(RegistryError, match="surprise"):
        active([*AUTOMATION, "surprise"], "prod")


def test_what_is_listed_and_gone_stops_the_location() -> None:
    with pytest.raises(RegistryError, match="landing"):
        active([name for name in AUTOMATION if name != "landing"], "dev")


def test_a_development_account_builds_nothing_by_the_clock() -> None:
    assert "daily" not in active(AUTOMATION, "dev")
    assert "daily" in active(AUTOMATION, "prod")
