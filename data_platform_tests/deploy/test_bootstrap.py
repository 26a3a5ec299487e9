"""`deploy.bootstrap`: its steps, in order, what happens when one fails, and that running it again goes on. The commands
themselves are tested where they are; that AWS does what CDK asks is seen on an account only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner

from data_platform import cli
from data_platform_tests.deploy.command_lines import parse
from deploy import bootstrap, operate
from deploy.bootstrap import IMAGE, BootstrapFailed, Step, carry_out, check, steps
from deploy.environment import FOLDER, read

DEV, PROD = read(FOLDER / "dev.yaml"), read(FOLDER / "prod.yaml")
KEY = Path("alice.p8")
DIGEST = f"sha256:{'5' * 64}"


class Account:
    """Notes what runs, fails where told to, and does what later steps look at: an image's digest, a secret's value."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.ran: list[list[str]] = []
        self.variables: list[Mapping[str, str]] = []
        self.filled: set[str] = set()
        self.fails_at = fails_at

    def run(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
        assert folder.is_dir()
        if len(self.ran) == self.fails_at:
            return 3
        self.ran.append(list(command))
        self.variables.append(variables)
        if "rotate-key" in command:
            self.filled.add(command[command.index("--secret") + 1])
        if command == ("deploy/push-image",):
            Path(variables["GITHUB_OUTPUT"]).write_text(f"digest={DIGEST}\n")
        return 0

    @property
    def manager(self) -> Any:
        """Secrets Manager, with the secrets that have a value."""
        listed = [{"Name": name, "SecretVersionsToStages": {"1": ["AWSCURRENT"]}} for name in self.filled]
        client = MagicMock()
        client.get_paginator.return_value.paginate.side_effect = lambda **_: [{"SecretList": listed}]
        return client


def all_steps(image: str | None = None) -> list[Step]:
    return list(steps(DEV, "ALICE", KEY, image))


def attempt(account: Account, wanted: Sequence[Step]) -> None:
    carry_out(DEV, wanted, account.manager, account.run)


def test_each_stack_is_deployed_once_after_those_that_it_needs() -> None:
    deployed = [part.removeprefix("data-platform-dev-") for each in all_steps() for part in each.command[4:]]
    stacks = [part for part in deployed if (Path(bootstrap.__file__).parent / "stacks" / f"{part}.py").exists()]
    others = {"policy", "tasks", "__init__"}
    there = {path.stem for path in (Path(bootstrap.__file__).parent / "stacks").glob("*.py")} - others
    assert sorted(stacks) == sorted(there)
    order = ["storage", "network", "database", "roles", "cluster", "services", "access"]
    assert [each for each in stacks if each in order] == order


def test_the_pushed_image_is_the_one_that_is_deployed() -> None:
    account = Account()
    attempt(account, all_steps())
    assert not [part for command in account.ran for part in command if IMAGE in part]
    for stack in ("cluster", "services"):
        (deploys,) = (command for command in account.ran if f"data-platform-dev-{stack}" in command)
        assert deploys[-1] == f"image={DIGEST}"


def test_a_given_image_is_not_built() -> None:
    assert not [each for each in all_steps(DIGEST) if each.pushes]
    assert any(f"image={DIGEST}" in each.command for each in all_steps(DIGEST))


@pytest.mark.parametrize("number", range(len(all_steps())))
def test_a_failure_stops_it_and_the_next_attempt_ends_as_if_nothing_had_happened(number: int) -> None:
    account, wanted = Account(fails_at=number), all_steps()
    with pytest.raises(BootstrapFailed, match=f"Step {number + 1} of {len(wanted)} failed") as error:
        attempt(account, wanted)
    assert len(account.ran) == number, "nothing after it has run"
    assert wanted[number].what in str(error.value)
    account.fails_at = None
    done = len(account.ran)
    attempt(account, wanted)
    whole = Account()
    attempt(whole, wanted)
    assert account.filled == whole.filled
    assert [each for each in whole.ran if each not in account.ran[done:]] == [
        each for each in account.ran[:done] if "rotate-key" in each
    ], "all steps again, but a user that has a key gets no other"


def test_every_command_has_the_environments_settings_and_none_has_a_secret() -> None:
    account = Account()
    attempt(account, all_steps())
    for variables in account.variables:
        assert variables["DATA_PLATFORM_LAKE_BUCKET"] == "data-platform-dev-111111111111-lake"
        assert variables["AWS_DEFAULT_REGION"] == "us-east-1"
        assert not [name for name in variables if "KEY" in name or "PASSWORD" in name or "TOKEN" in name]


def test_its_commands_exist_and_take_these_options(tmp_path: Path) -> None:
    """Those of the platform and of `deploy.operate` are parsed by the real ones."""
    key = tmp_path / "alice.p8"
    key.touch()
    parsed = 0
    for each in steps(DEV, "ALICE", key, DIGEST):
        program, *rest = each.command
        if program.endswith("data-platform"):
            parse(cli.main, rest)
            parsed += 1
        elif rest[:2] == ["-m", "deploy.operate"]:
            parse(operate.main, rest[2:])
            if rest[3] == "data-platform":
                parse(cli.main, rest[4:])
            parsed += 1
    assert parsed == 8


def test_signed_in_to_another_account_or_to_none_says_so() -> None:
    sts = MagicMock()
    sts.get_caller_identity.return_value = {"Account": "999999999999", "Arn": "arn:aws:iam::999999999999:user/bob"}
    with pytest.raises(BootstrapFailed, match=r"999999999999 as .*bob, but deploy/environments/dev.yaml has account 1"):
        check(DEV, sts, None)
    sts.get_caller_identity.side_effect = NoCredentialsError()
    with pytest.raises(BootstrapFailed, match="Sign in to account 111111111111 first"):
        check(DEV, sts, None)


def test_prod_deploys_what_ran_in_dev() -> None:
    sts = MagicMock()
    sts.get_caller_identity.return_value = {"Account": PROD.account, "Arn": "arn"}
    with pytest.raises(BootstrapFailed, match="--image"):
        check(PROD, sts, None)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sts = MagicMock()
    sts.get_caller_identity.return_value = {"Account": DEV.account, "Arn": "arn"}
    monkeypatch.setattr("shutil.which", lambda program: None if program == "docker" else program)
    with pytest.raises(BootstrapFailed, match="not installed here: docker"):
        check(DEV, sts, None)


def test_the_plan_shows_every_command_and_runs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "carry_out", lambda *_: pytest.fail("ran"))
    (tmp_path / "alice.p8").touch()
    options = ["dev", "--admin", "ALICE", "--admin-key", str(tmp_path / "alice.p8")]
    shown = CliRunner().invoke(bootstrap.main, [*options, "--plan"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("$ ") == len(all_steps())
    monkeypatch.setattr(bootstrap, "check", lambda *_: None)
    assert CliRunner().invoke(bootstrap.main, options, input="n\n").exit_code == 1
