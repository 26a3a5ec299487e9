"""`data-platform code-server`: what it refuses before it serves anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data_platform.cli import main
from data_platform.environment import settings


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_PLATFORM_STATE_DIR", str(tmp_path / "state"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["code-server", *arguments])


def test_local_serves_folders_and_loopback_only() -> None:
    refused = run("--git", "https://git.example.org/team/x.git", "--ref", "main")
    assert refused.exit_code == 1
    assert "DATA_PLATFORM_CODE_URL is not a loopback address" in refused.output


@pytest.mark.parametrize("option", ["--host", "--webhook-host"])
def test_local_listens_on_loopback_only(option: str) -> None:
    refused = run("--git", "/srv/x.git", "--ref", "main", option, "0.0.0.0")
    assert refused.exit_code == 2
    assert "allows loopback only" in refused.output


def test_a_repository_needs_a_ref() -> None:
    refused = run("--git", "/srv/x.git")
    assert refused.exit_code == 1
    assert "DATA_PLATFORM_CODE_REF is missing" in refused.output


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    refused = run("--git", "http://me:s3cretword@127.0.0.1/x.git", "--ref", "main")
    assert refused.exit_code == 1
    assert "holds a password" in refused.output
    assert "s3cretword" not in refused.output


def test_help_has_examples() -> None:
    assert "--git https://" in run("--help").output
