"""In `local`, no command connects to another machine, nor looks one up."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform

pytestmark = pytest.mark.end_to_end
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def test_no_command_contacts_another_machine(platform: Platform, demo: Demo, watched: Path) -> None:
    for command in (("doctor",), ("deliveries", "list"), ("dbt", "show", "-s", "city_daily")):
        ended = platform.command("data-platform", *command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [line for file in watched.glob("*.hosts") for line in file.read_text().splitlines()]
    words = {word for line in lines for word in line.split()}
    assert words >= {"run", "doctor", "list", "show", "build"}, "each command, and dbt, wrote down whom it contacts"
    assert [line for line in lines if line.split()[0] not in LOOPBACK] == []
