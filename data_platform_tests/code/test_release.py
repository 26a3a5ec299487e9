"""What a backend's process and its runs see of a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_platform.code.git import Remote
from data_platform.code.release import CONTEXT, Release, backend_environment, container_context

CODE = Remote("https://git.example.org/team/code.git", "main", "t0ken-of-code")
DBT = Remote("https://git.example.org/team/dbt.git", "v1", "t0ken-of-dbt", "DATA_PLATFORM_DBT")
RELEASE = Release("a" * 40, "b" * 40)


def test_runs_are_told_their_commits_beside_what_they_were_told_before() -> None:
    base = {"ecs": {"env_vars": ["A=1", "DATA_PLATFORM_CODE_COMMIT=old"], "secrets": [{"name": "S"}]}, "k8s": {"x": 1}}
    context = json.loads(container_context(json.dumps(base), {"DATA_PLATFORM_CODE_COMMIT": "new"}))
    assert context == {**base, "ecs": {**base["ecs"], "env_vars": ["A=1", "DATA_PLATFORM_CODE_COMMIT=new"]}}


@pytest.mark.parametrize("base", [None, "", " ", "{}"])
def test_there_may_be_no_context_before(base: str | None) -> None:
    assert json.loads(container_context(base, {"A": "1"})) == {"ecs": {"env_vars": ["A=1"]}}


def test_a_context_that_dagster_would_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="env_vars"):
        container_context("[]", {})


def test_a_backend_sees_its_release_and_none_of_the_code_servers_secrets(tmp_path: Path) -> None:
    inherited = {
        "DATA_PLATFORM_CODE_TOKEN": "t0ken-of-code",
        "DATA_PLATFORM_DBT_TOKEN": "t0ken-of-dbt",
        "DATA_PLATFORM_CODE_WEBHOOK_SECRET": "s3cret",
        "AWS_REGION": "eu-west-1",
        "PYTHONPATH": "/app",
        "DATA_PLATFORM_STATE_DIR": "state",
    }
    seen = backend_environment(inherited, tmp_path, RELEASE, CODE, DBT, tmp_path / "dbt")
    assert not [value for value in seen.values() if "t0ken" in value or "s3cret" in value]
    assert seen["PYTHONPATH"] == f"{tmp_path}:/app"
    assert seen["DATA_PLATFORM_STATE_DIR"] == str(Path("state").absolute())
    assert seen["AWS_REGION"] == "eu-west-1"
    assert (seen["DATA_PLATFORM_CODE_COMMIT"], seen["DATA_PLATFORM_DBT_COMMIT"]) == ("a" * 40, "b" * 40)
    assert seen["DATA_PLATFORM_DBT_PROJECT_DIR"] == str(tmp_path / "dbt")
    assert json.loads(seen[CONTEXT])["ecs"]["env_vars"] == [
        f"DATA_PLATFORM_CODE_URL={CODE.url}",
        f"DATA_PLATFORM_CODE_COMMIT={'a' * 40}",
        f"DATA_PLATFORM_DBT_URL={DBT.url}",
        "DATA_PLATFORM_DBT_REF=v1",
        f"DATA_PLATFORM_DBT_COMMIT={'b' * 40}",
    ]


def test_the_installed_code_has_no_commit(tmp_path: Path) -> None:
    seen = backend_environment({CONTEXT: '{"ecs": {}}'}, tmp_path, Release(None), None)
    assert seen[CONTEXT] == '{"ecs": {}}'
    assert not [name for name in seen if name.endswith("_COMMIT")]
