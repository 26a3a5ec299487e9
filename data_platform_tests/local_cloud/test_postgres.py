"""PostgreSQL as the supervisor starts it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Sequence

import pytest

from data_platform.local_cloud.postgres import SYSTEM_USER, _system_user
from data_platform.local_cloud.processes import PartNotReady


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The users of a machine on which this process is root's."""
    known: list[str] = []

    def getpwnam(name: str) -> str:
        if name not in known:
            raise KeyError(name)
        return name

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    return known


def useradd(exit_code: int, says: str, meanwhile: Callable[[], None] = lambda: None) -> object:
    """A `useradd` that fails, after what another cloud does `meanwhile`."""

    def run(command: Sequence[str], *, check: bool, **options: object) -> subprocess.CompletedProcess[str]:
        meanwhile()
        failed = subprocess.CompletedProcess(command, exit_code, stderr=says)
        if check:
            failed.check_returncode()
        return failed

    return run


def test_two_clouds_that_are_the_first_on_a_machine_both_come_up(
    users: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", useradd(9, "already exists", lambda: users.append(SYSTEM_USER)))
    assert _system_user() == SYSTEM_USER


def test_a_user_that_cannot_be_made_is_explained(users: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", useradd(1, "cannot lock /etc/passwd"))
    with pytest.raises(PartNotReady, match="cannot lock /etc/passwd"):
        _system_user()
