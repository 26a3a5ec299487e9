"""AWS's side of the storage integration: the trust policy that `bootstrap` writes, and its patience afterwards. boto3
checks the requests against AWS's own description of IAM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from snowflake.connector import ProgrammingError

from data_platform.cli import main
from data_platform.cli.snowflake import command
from data_platform.cli.snowflake.trust import StageUnreadable, list_with_patience, policy_diff, trust_policy
from data_platform.environment import settings
from data_platform_tests.test_environment import PRODUCTION
from data_platform_tests.warehouse.test_bootstrap import ACCOUNT, AWS_ROLE, SNOWFLAKES_USER, Cursor

EXTERNAL_ID = "TEAM_SFCRole=2_x"
WANTED = trust_policy(SNOWFLAKES_USER, EXTERNAL_ID)
NOBODY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"aws:PrincipalIsAWSService": "true"}},
        }
    ],
}
NOT_YET = "Error assuming AWS_ROLE: User: arn:aws:iam::999999999999:user/abc1-s-xyz is not authorized"


class Refusing(Cursor):
    """An account that can't list the stage `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def execute(self, statement: str) -> None:
        super().execute(statement)
        if statement.startswith("LIST"):
            self.times -= 1
            if self.times >= 0:
                raise ProgrammingError(NOT_YET, errno=3167)


class Iam:
    """IAM with one role. Each expected call is checked; a call that isn't expected fails."""

    def __init__(self, present: dict[str, Any], *, updates: bool) -> None:
        self.client = boto3.client("iam", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        self.stub = Stubber(self.client)
        role = {
            "Path": "/",
            "RoleName": "data-platform-dev-snowflake",
            "RoleId": "AROAEXAMPLEEXAMPLE",
            "Arn": AWS_ROLE,
            "CreateDate": "2026-01-01T00:00:00Z",
        }
        name = {"RoleName": "data-platform-dev-snowflake"}
        self.stub.add_response("get_role", {"Role": {**role, "AssumeRolePolicyDocument": json.dumps(present)}}, name)
        if updates:
            self.stub.add_response("update_assume_role_policy", {}, {**name, "PolicyDocument": json.dumps(WANTED)})
        self.stub.activate()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `bootstrap` against an account and an IAM."""
    (tmp_path / "admin.p8").write_text("never read here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("data_platform.cli.snowflake.trust.PAUSE_SECONDS", 0.01)
    for name, value in {**PRODUCTION, "SNOWFLAKE_USER": "LOADS", "SNOWFLAKE_ROLE": "LOADER"}.items():
        monkeypatch.setenv(name, value)

    def bootstrap(cursor: Cursor, iam: Iam, *options: str, answers: str = "") -> Result:
        class Session:
            def __enter__(self) -> Cursor:
                return cursor

            def __exit__(self, *_: object) -> None:
                pass

        monkeypatch.setattr(command, "signed_in", lambda *_: Session())
        monkeypatch.setattr(command, "_iam", lambda _: iam.client)
        settings.cache_clear()
        arguments = ["snowflake", "bootstrap", "--aws-role", AWS_ROLE, "--admin", "ALICE", "--admin-key", "admin.p8"]
        try:
            return CliRunner().invoke(main, [*arguments, *options], input=answers)
        finally:
            settings.cache_clear()

    return bootstrap


def test_bootstrap_makes_the_role_trust_the_integration_after_showing_what_changes(run: Any) -> None:
    cursor, iam = Refusing(2), Iam(NOBODY, updates=True)
    done = run(cursor, iam, answers="y\ny\n")
    assert done.exit_code == 0, done.output
    iam.stub.assert_no_pending_responses()
    assert '-          "aws:PrincipalIsAWSService": "true"' in done.output
    assert f'+          "sts:ExternalId": "{EXTERNAL_ID}"' in done.output
    assert done.output.index("sts:ExternalId") < done.output.index("Change it?")
    assert done.output.count("not yet: 003167: Error assuming AWS_ROLE") == 2
    assert "Snowflake lists the lake's stage." in done.output
    assert 'LIST @"DATA_PLATFORM"."PLATFORM"."LAKE"/_doctor/' in cursor.executed


def test_running_it_again_changes_no_trust(run: Any) -> None:
    done = run(Cursor(), Iam(WANTED, updates=False), "--yes")
    assert done.exit_code == 0, done.output
    assert "Change it?" not in done.output


def test_without_a_yes_the_trust_stays_as_it_is(run: Any) -> None:
    iam = Iam(NOBODY, updates=True)
    assert run(Cursor(), iam, answers="y\nn\n").exit_code == 1
    with pytest.raises(AssertionError, match="1 responses remaining"):
        iam.stub.assert_no_pending_responses()


def test_without_a_yes_no_statement_is_run(run: Any) -> None:
    cursor = Cursor()
    assert run(cursor, Iam(NOBODY, updates=False), answers="n\n").exit_code == 1
    assert [each for each in cursor.executed if not each.startswith(("SHOW", "USE"))] == []


def test_check_reports_another_trust_and_changes_nothing(run: Any) -> None:
    cursor = Cursor()
    done = run(cursor, Iam(NOBODY, updates=False), "--check")
    assert done.exit_code == 3
    assert "the trust policy of arn:aws:iam::123456789012:role/data-platform-dev-snowflake is not" in done.output
    assert "myorg-team: 1 differences" in done.output
    assert [each for each in cursor.executed if not each.startswith(("SHOW", "DESC", "USE", "LIST"))] == []


def test_check_of_an_account_as_wanted_succeeds(run: Any) -> None:
    done = run(Cursor(), Iam(WANTED, updates=False), "--check")
    assert (done.exit_code, done.output) == (0, "myorg-team: 0 differences\n")


def test_check_reports_a_stage_that_snowflake_cannot_list(run: Any) -> None:
    done = run(Refusing(1), Iam(WANTED, updates=False), "--check")
    assert done.exit_code == 3
    assert "can't list the lake's stage: 003167: Error assuming AWS_ROLE" in done.output


def test_patience_ends_with_snowflakes_reason_and_what_to_look_at() -> None:
    pauses: list[float] = []
    attempts = list_with_patience(Refusing(99), ACCOUNT, seconds=20, pause=pauses.append)  # type: ignore[arg-type]
    with pytest.raises(StageUnreadable, match=r"after 20 s: .*is not authorized.*Check that arn:aws:iam"):
        list(attempts)
    assert sum(pauses) == 20


def test_the_same_policy_in_another_order_is_no_difference() -> None:
    assert policy_diff(dict(reversed(WANTED.items())), WANTED) == []


def test_aws_that_shows_no_role_is_told_with_the_policy_to_set(run: Any) -> None:
    iam = Iam(NOBODY, updates=False)
    iam.client.get_role = boto3.client("iam", region_name="us-east-1").get_role
    stub = Stubber(iam.client.get_role.__self__)
    stub.add_client_error("get_role", "AccessDenied")
    with stub:
        done = run(Cursor(), iam, "--yes")
    assert done.exit_code == 1
    assert "AccessDenied" in done.output
    assert EXTERNAL_ID in done.output
