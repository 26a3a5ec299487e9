"""The command line as a whole: it comes at once, tells its commands, and says a failure in one message."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from data_platform.cli import COMMANDS, main
from data_platform.cli.errors import DATA_PROBLEM, DataProblem
from data_platform.environment import settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_PLATFORM_ENVIRONMENT", "DATA_PLATFORM_STATE_DIR", "AWS_ENDPOINT_URL", "SNOWFLAKE_HOST"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()


def test_help_lists_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)
    assert "Exit codes" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_an_example(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    children = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in children:
        assert "data-platform" in (each.help or ""), f"{each.name} has no example"


def test_help_needs_none_of_the_slow_libraries() -> None:
    code = (
        "import sys, data_platform.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('dagster', 'snowflake.connector', 'pyarrow', 'boto3', 'pydantic') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_reading_the_ledger_needs_neither_dagster_nor_data_frames() -> None:
    code = (
        "import sys\n"
        "from data_platform.cli.connector import import_connector\n"
        "import_connector()\n"
        "import data_platform.cli.deliveries.command, data_platform.landing.ledger\n"
        "from data_platform.warehouse.arrow_once import read_one_arrow_result\n"
        "read_one_arrow_result()\n"
        "assert 'snowflake.connector' in sys.modules\n"
        "print([n for n in ('dagster', 'pandas', 'boto3') if n in sys.modules])\n"
        "import pandas, boto3"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["frobnicate"]).exit_code == 2


def test_settings_that_are_wrong_are_said_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PLATFORM_ENVIRONMENT", "dev")
    result = CliRunner().invoke(main, ["env"])
    assert result.exit_code == 1
    assert "SNOWFLAKE_ACCOUNT is missing" in result.output
    assert "Traceback" not in result.output
    assert "SettingsError" not in result.output


@pytest.mark.parametrize("arguments", [["-v", "env"], ["env", "-v"]])
def test_verbose_shows_where_a_failure_came_from(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PLATFORM_ENVIRONMENT", "dev")
    assert "Traceback" in CliRunner().invoke(main, arguments).output


def test_a_command_whose_extra_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "data_platform.local_cloud.commands", raising=False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    for name in [name for name in sys.modules if name.startswith("data_platform.local_cloud")]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert "data-platform[local]" in result.output


def test_a_data_problem_has_an_exit_code_of_its_own() -> None:
    assert DataProblem("2 files are quarantined").exit_code == DATA_PROBLEM == 3


def test_env_prints_no_secret_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted secret")
    open_ = CliRunner().invoke(main, ["env"])
    assert "planted secret" not in open_.output
    assert "export AWS_REGION=us-east-1" in open_.output
    asked = CliRunner().invoke(main, ["env", "--with-secrets"])
    assert "export AWS_SECRET_ACCESS_KEY='planted secret'" in asked.output


def test_doctor_looks_at_the_dbt_project_that_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from data_platform.transform.manifest import fingerprint

    project = tmp_path / "dbt"
    monkeypatch.setenv("DATA_PLATFORM_DBT_PROJECT_DIR", str(project))

    def found() -> str:
        findings = json.loads(CliRunner().invoke(main, ["doctor", "--offline", "--json"]).output)["findings"]
        (finding,) = (each["found"] for each in findings if each["subject"] == "dbt manifest")
        return str(finding)

    assert found() == f"{project} is not a dbt project"
    (project / "target").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: x\n")
    assert found() == "there is no manifest yet"
    (project / "target" / "fingerprint").write_text("of an older one")
    assert found() == "the manifest is out of date"
    (project / "target" / "fingerprint").write_text(fingerprint(project))
    assert found() == "is up to date"


def test_doctor_masks_secrets_and_names_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted secret")
    Path(".env").write_text("AWS_REGION=eu-west-1\n")
    result = CliRunner().invoke(main, ["doctor", "--offline"])
    assert "planted secret" not in result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("AWS_REGION")]
    assert line.split() == ["AWS_REGION", "eu-west-1", ".env"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--partition", "2026-03-08"], "--partition is the day of the selected assets"),
        (["run", "--again", "--no-demo"], "--again drops the demo's files once more"),
        (["run", "--demo", "--select", "*"], "--demo works in `local` only"),
        (["dev", "--host", "0.0.0.0"], "`local` allows loopback only, not 0.0.0.0"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_example_of_env_names_every_setting() -> None:
    from data_platform.environment import Settings, each_setting

    text = (ROOT / ".env.example").read_text()
    named = {
        line.lstrip("#").split("=")[0] for line in text.splitlines() if "=" in line and " " not in line.split("=")[0]
    }
    settings = {name for name in named if not name.startswith("DATA_PLATFORM_CONNECTION_")}
    assert settings == {variable for variable, *_ in each_setting(Settings.from_environment({}))}
    assert "DATA_PLATFORM_CONNECTION_CITY_RECORDS" in named


def test_the_example_of_env_sets_nothing_by_itself() -> None:
    text = (ROOT / ".env.example").read_text()
    assert all(not line or line.startswith("#") for line in text.splitlines())


def test_unset_endpoints_say_to_bring_the_local_cloud_up() -> None:
    result = CliRunner().invoke(main, ["deliveries", "list"])
    assert result.exit_code == 1
    assert "data-platform up" in result.output


def test_doctor_tries_no_connection_while_the_local_cloud_is_down() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    failed = [each for each in json.loads(result.output)["findings"] if each["state"] == "failed"]
    assert {each["subject"] for each in failed} == {"local cloud", "connections"}
    assert {each["fix"] for each in failed} == {"data-platform up"}


@pytest.mark.parametrize("arguments", [("deliveries", "list"), ("schema", "plan"), ("dbt", "build")])
def test_a_command_says_in_one_line_that_the_local_cloud_is_down(arguments: tuple[str, ...]) -> None:
    Path(".local").mkdir()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        Path(".local/cloud.env").write_text(f"SNOWFLAKE_HOST=127.0.0.1\nSNOWFLAKE_PORT={unused.getsockname()[1]}\n")
        result = CliRunner().invoke(main, arguments)
        explained = CliRunner().invoke(main, [arguments[0], "--help"])
    assert (result.exit_code, result.output) == (1, "Error: The local cloud is down: run `data-platform up`.\n")
    assert explained.exit_code == 0 or arguments[0] == "dbt"


PROGRAM = Path(sys.executable).with_name("data-platform")


@pytest.mark.parametrize("arguments", [["--help"], ["check", str(ROOT / "data_platform" / "defs" / "operations")]])
def test_a_reader_that_goes_away_is_no_failure_to_speak_of(arguments: list[str]) -> None:
    """`data-platform ... | head`."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([PROGRAM, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert ran.stderr == ""


def test_commands_are_named_as_they_can_be_typed() -> None:
    """Where the PATH doesn't have the command, messages and help name it by its path."""
    relative = os.path.relpath(PROGRAM, ROOT)
    away = {"HOME": str(ROOT), "PATH": "/usr/bin:/bin", "SNOWFLAKE_PORT": "1"}

    def said(*arguments: str, **more: str) -> str:
        ran = subprocess.run(
            [PROGRAM, *arguments], cwd=ROOT, env=away | more, capture_output=True, text=True, check=False
        )
        return ran.stdout + ran.stderr

    assert f"  {relative} up --ecs\n" in said("up", "--help")
    assert f"The local cloud is down: run `{relative} up`." in said("deliveries", "list")
    there = {"PATH": f"{PROGRAM.parent}:/usr/bin:/bin"}
    assert "  data-platform up --ecs\n" in said("up", "--help", **there)
    assert "The local cloud is down: run `data-platform up`." in said("deliveries", "list", **there)


def test_what_works_on_linux_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    result = CliRunner().invoke(main, ["up", "--ecs"])
    assert result.exit_code == 2
    assert "--ecs works on Linux only" in result.output
