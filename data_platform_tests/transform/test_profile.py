"""The connection of dbt's profile: dbt's own values, and a message that names what is wrong with it."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from data_platform.cli.project import DBT_PROJECT
from data_platform.environment import Settings, SettingsError
from data_platform.transform.process import dbt_environment
from data_platform.transform.profile import ProfileUnusable, as_dbt_connects
from data_platform_tests.test_environment import LOCAL_ENDPOINTS

LOCAL = Settings.from_environment({**LOCAL_ENDPOINTS, "SNOWFLAKE_DBT_PRIVATE_KEY_PASSPHRASE": "needed"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(DBT_PROJECT / name, tmp_path)
    return tmp_path


def edit(project: Path, old: str, new: str, file: str = "profiles.yml") -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


def test_dbt_connects_as_its_own_user(project: Path) -> None:
    settings = Settings.from_environment({**LOCAL.process_environment(), "SNOWFLAKE_PORT": "4443"})
    assert as_dbt_connects(settings, project).snowflake == settings.as_dbt().snowflake


def test_it_renders_the_profile_as_dbt_does(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.config.profile import Profile
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    edit(project, "'DATA_PLATFORM_ENVIRONMENT', 'local'", "'UNSET', 'dev'")
    edit(project, "{{ env_var('SNOWFLAKE_ROLE') }}", "{{ env_var('SNOWFLAKE_ROLE') | lower }}_of_dbt")
    environment = dbt_environment(LOCAL, project, project / "target")
    set_invocation_context(environment)
    monkeypatch.setattr("dbt.config.profile.get_flags", lambda: Namespace(LOG_CACHE_EVENTS=False))
    raw = yaml.safe_load((project / "profiles.yml").read_text())
    theirs = Profile.from_raw_profiles(raw, "data_platform", ProfileRenderer({})).credentials.to_dict()
    ours = as_dbt_connects(LOCAL, project).snowflake
    assert ours.role == theirs["role"] == "data_platform_transformer_of_dbt"
    for name in ("account", "user", "warehouse", "database", "host", "port", "protocol"):
        assert getattr(ours, name) == theirs[name]
    assert str(ours.private_key_path) == theirs["private_key_path"]
    assert ours.private_key_passphrase is not None
    assert ours.private_key_passphrase.get_secret_value() == theirs["private_key_passphrase"] == "needed"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("env_var('SNOWFLAKE_ROLE')", "env_var('DBT_ROLE')", "needs the variable DBT_ROLE, which is not set"),
        ("schema: MARTS", "schema: \"{{ env_var('TEAM') }}\"", "needs the variable TEAM, which is not set"),
        ("env_var('SNOWFLAKE_ROLE')", "env_var('SNOWFLAKE_ROLE'", "unexpected"),
        ("env_var('SNOWFLAKE_ROLE')", "SNOWFLAKE_ROLE", "'SNOWFLAKE_ROLE' is undefined"),
        ("data_platform:\n", "data_platform: [\n", "profiles.yml"),
        ("data_platform:\n", "other:\n", "has no 'data_platform'"),
        ("local: &snowflake", "laptop: &snowflake", "has no 'local'"),
        ("warehouse:", "warehause:", "the target local sets no warehouse"),
    ],
)
def test_a_broken_profile_is_named(project: Path, old: str, new: str, said: str) -> None:
    edit(project, old, new)
    with pytest.raises(ProfileUnusable) as raised:
        as_dbt_connects(LOCAL, project)
    assert said in str(raised.value)
    assert "profiles.yml" in str(raised.value)


def test_a_missing_profile_is_named(project: Path) -> None:
    (project / "profiles.yml").unlink()
    with pytest.raises(ProfileUnusable, match=r"No such file.*profiles\.yml"):
        as_dbt_connects(LOCAL, project)


def test_local_refuses_a_profile_that_leaves_this_machine(project: Path) -> None:
    edit(project, "{{ env_var('SNOWFLAKE_HOST', '') }}", "team.snowflakecomputing.com")
    with pytest.raises(SettingsError, match="loopback"):
        as_dbt_connects(LOCAL, project)
