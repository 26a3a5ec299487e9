"""The statements that prepare an account, and the differences that `--check` finds. Only a real account can show that
Snowflake takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from data_platform.cli import main
from data_platform.environment import Settings, settings
from data_platform.warehouse.bootstrap import (
    USER_PARAMETERS,
    Account,
    BootstrapRefused,
    drift,
    fingerprint,
    public_key_of,
    statements,
    trust,
)
from data_platform_tests.test_environment import PRODUCTION

KEY = rsa.generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ROLE = "arn:aws:iam::123456789012:role/data-platform-dev-snowflake"
OPTIONS = {"aws_role_arn": ROLE, "external_id": "data-platform-dev-3f9c2b71", "credits": 100}


def account(**changes: Any) -> Account:
    given = Settings.from_environment({**PRODUCTION, "SNOWFLAKE_ROLE": "DATA_PLATFORM_LOADER"})
    return replace(Account.of(given, public_key=public_key_of(PUBLIC), **OPTIONS), **changes)


class Cursor:
    """Answers SHOW and DESC as an account that is as wanted. `wrong`: {beginning of a statement: its rows instead}."""

    def __init__(self, wanted: Account, **wrong: list[dict[str, str]]) -> None:
        integration = {
            "ENABLED": "true",
            "STORAGE_AWS_ROLE_ARN": wanted.aws_role_arn,
            "STORAGE_AWS_EXTERNAL_ID": wanted.external_id,
            "STORAGE_ALLOWED_LOCATIONS": wanted.location,
            "STORAGE_AWS_IAM_USER_ARN": "arn:aws:iam::999999999999:user/abc1-s-xyz",
        }
        user = {"RSA_PUBLIC_KEY_FP": fingerprint(wanted.public_key), "DEFAULT_ROLE": wanted.loader}
        grants = (wanted.transformer, wanted.integration, wanted.warehouse, wanted.database)
        self.answers: dict[str, list[dict[str, str]]] = {
            "DESC INTEGRATION": [{"property": name, "property_value": value} for name, value in integration.items()],
            "DESC USER": [{"property": name, "value": value} for name, value in user.items()],
            "SHOW PARAMETERS": [{"key": name, "value": value.lower()} for name, value in USER_PARAMETERS.items()],
            "SHOW WAREHOUSES": [{"name": wanted.warehouse, "resource_monitor": wanted.warehouse}],
            "SHOW GRANTS": [
                {"privilege": privilege, "name": name} for privilege in ("USAGE", "CREATE SCHEMA") for name in grants
            ],
        } | {name.replace("_", " ").upper(): rows for name, rows in wrong.items()}
        self.rows: list[dict[str, str]] = []

    def execute(self, statement: str) -> None:
        self.rows = self.answers[" ".join(statement.split()[:2])]

    def fetchall(self) -> list[dict[str, str]]:
        return self.rows


def test_an_account_that_is_as_wanted_has_no_differences() -> None:
    assert list(drift(Cursor(account()), account())) == []  # type: ignore[arg-type]
    assert trust(Cursor(account()), account())[0].startswith("arn:aws:iam::999999999999:user/")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"desc_integration": [{"property": "ENABLED", "property_value": "true"}]}, "STORAGE_AWS_ROLE_ARN is null"),
        ({"desc_user": [{"property": "DEFAULT_ROLE", "value": "PUBLIC"}]}, "DEFAULT_ROLE is PUBLIC, expected"),
        ({"show_parameters": [{"key": "TIMEZONE", "value": "America/Los_Angeles"}]}, "TIMEZONE is America/Los_Angeles"),
        ({"show_warehouses": []}, "has the resource monitor no warehouse"),
        ({"show_grants": []}, "role DATA_PLATFORM_READER lacks USAGE on DATA_PLATFORM"),
    ],
)
def test_each_difference_is_told(wrong: dict[str, list[dict[str, str]]], words: str) -> None:
    assert any(words in line for line in drift(Cursor(account(), **wrong), account()))  # type: ignore[arg-type]


def test_nothing_is_dropped_or_replaced_and_everything_may_run_again() -> None:
    for statement in statements(account()):
        assert not {"DROP", "REPLACE", "REVOKE"} & set(statement.split())
        if statement.startswith("CREATE"):
            assert "IF NOT EXISTS" in statement


def test_a_rotation_keeps_the_old_key_until_the_next_call() -> None:
    during = list(statements(account(next_public_key="bmV4dA==")))
    assert any("RSA_PUBLIC_KEY_2 = 'bmV4dA=='" in statement for statement in during)
    assert any("UNSET RSA_PUBLIC_KEY_2" in statement for statement in statements(account()))


def test_names_are_made_of_the_loaders() -> None:
    assert (account().transformer, account().reader) == ("DATA_PLATFORM_TRANSFORMER", "DATA_PLATFORM_READER")
    with pytest.raises(BootstrapRefused, match="ends with _LOADER"):
        Account.of(Settings.from_environment({**PRODUCTION, "SNOWFLAKE_ROLE": "X"}), public_key="", **OPTIONS)


def test_a_public_key_is_taken_from_either_half() -> None:
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert public_key_of(private) == public_key_of(PUBLIC)
    with pytest.raises(BootstrapRefused, match="PEM public key"):
        public_key_of(b"planted")


def test_the_command_shows_its_statements_and_refuses_the_local_snowflake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNOWFLAKE_STORAGE_INTEGRATION", "DATA_PLATFORM_LAKE")
    settings.cache_clear()
    (tmp_path / "key.pub").write_bytes(PUBLIC)
    command = ["snowflake", "bootstrap", "--public-key", str(tmp_path / "key.pub"), "--aws-role", ROLE]
    command += ["--external-id", OPTIONS["external_id"]]
    shown = CliRunner().invoke(main, [*command, "--sql"])
    assert shown.exit_code == 0
    assert 'CREATE STORAGE INTEGRATION IF NOT EXISTS "DATA_PLATFORM_LAKE"' in shown.output
    refused = CliRunner().invoke(main, [*command, "--yes"])
    assert refused.exit_code == 1
    assert "no roles, users or integrations" in refused.output
    settings.cache_clear()
