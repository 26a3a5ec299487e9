"""Dagster's own commands, as CI and code servers use them, take the project as it is."""

from __future__ import annotations

import pytest

from data_platform_tests.end_to_end.platform import Platform

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize(
    "command",
    ["dagster definitions validate -w workspace.yaml", "dg check yaml", "dg check defs"],
)
def test_dagsters_own_commands_take_the_project(platform: Platform, command: str) -> None:
    done = platform.command(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr
