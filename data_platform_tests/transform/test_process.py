"""What a dbt process inherits, and what is kept of it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from data_platform.environment import Settings
from data_platform.transform.process import dbt_environment, prune_artifacts, reuse_parse


def test_dbt_is_its_own_user_and_sees_no_other_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TOKEN", "planted")
    settings = Settings.from_environment(
        {
            "AWS_SECRET_ACCESS_KEY": "planted",
            "DAGSTER_POSTGRES_URL": "postgresql://dagster:planted@127.0.0.1/dagster",
            "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "planted",
            "SNOWFLAKE_READER_PRIVATE_KEY_PASSPHRASE": "planted",
            "SNOWFLAKE_DBT_PRIVATE_KEY_PASSPHRASE": "needed",
        }
    )
    env = dbt_environment(settings, tmp_path, tmp_path / "target")
    assert "planted" not in " ".join(env.values())
    assert env["SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] == "needed"
    assert (env["SNOWFLAKE_USER"], env["SNOWFLAKE_ROLE"]) == ("DATA_PLATFORM_DBT", "DATA_PLATFORM_TRANSFORMER")
    assert Path(env["SNOWFLAKE_PRIVATE_KEY_PATH"]).is_absolute(), "dbt works in another folder"
    assert env["DATA_PLATFORM_TIME_ZONE"] == "America/New_York"


def test_artifacts_are_kept_a_week(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    long_ago = time.time() - 8 * 86_400
    os.utime(old, (long_ago, long_ago))
    prune_artifacts(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_runs_that_begin_at_once_remove_the_same_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = time.time() - 8 * 86_400
    old = [tmp_path / name for name in ("one", "two")]
    for folder in old:
        folder.mkdir()
        os.utime(folder, (long_ago, long_ago))
    remove = shutil.rmtree

    def both(path: Path, ignore_errors: bool) -> None:
        for folder in old:
            remove(folder, ignore_errors=True)

    monkeypatch.setattr(shutil, "rmtree", both)
    prune_artifacts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_begins_with_what_the_latest_one_parsed(tmp_path: Path) -> None:
    reuse_parse(tmp_path, tmp_path / "first", tmp_path)
    assert not (tmp_path / "first").exists(), "there is nothing yet"
    for age, name in ((100, "earlier"), (0, "latest")):
        parsed = tmp_path / name / "partial_parse.msgpack"
        parsed.parent.mkdir()
        parsed.write_text(name)
        os.utime(parsed, (time.time() - age, time.time() - age))
    reuse_parse(tmp_path, tmp_path / "next", tmp_path)
    assert (tmp_path / "next" / "partial_parse.msgpack").read_text() == "latest"
