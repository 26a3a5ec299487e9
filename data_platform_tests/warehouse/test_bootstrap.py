"""The statements that prepare an account, and the differences that `--check` finds. Only a real account can show that
Snowflake takes them and refuses what it must: `data-platform snowflake bootstrap` and `data-platform doctor --deep`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from snowflake.connector import ProgrammingError

from data_platform.cli import main
from data_platform.environment import Settings, settings
from data_platform.warehouse.account_drift import drift, is_allowed
from data_platform.warehouse.bootstrap import (
    USER_PARAMETERS,
    Account,
    BootstrapRefused,
    existing_raw_schemas,
    integration_identity,
    statements,
)
from data_platform_tests.test_environment import PRODUCTION

AWS_ROLE = "arn:aws:iam::123456789012:role/data-platform-dev-snowflake"
SNOWFLAKES_USER = "arn:aws:iam::999999999999:user/abc1-s-xyz"
GIVEN = Settings.from_environment({**PRODUCTION, "SNOWFLAKE_USER": "LOADS", "SNOWFLAKE_ROLE": "LOADER"})
ACCOUNT = Account.of(GIVEN, aws_role_arn=AWS_ROLE, credits=100)
LOADER, TRANSFORMER, READER = "LOADER", "DATA_PLATFORM_TRANSFORMER", "DATA_PLATFORM_READER"
DB = "DATA_PLATFORM"
GRANTS = {
    LOADER: [
        ("USAGE", "WAREHOUSE", "LOADING"),
        ("USAGE", "DATABASE", DB),
        ("CREATE SCHEMA", "DATABASE", DB),
        ("USAGE", "ROLE", READER),
        ("USAGE", "INTEGRATION", "DATA_PLATFORM_LAKE"),
        ("MONITOR", "RESOURCE_MONITOR", "LOADING"),
        ("OWNERSHIP", "SCHEMA", f"{DB}.PLATFORM"),
        ("OWNERSHIP", "TABLE", f"{DB}.RAW_WATER.READINGS"),
    ],
    TRANSFORMER: [
        ("USAGE", "WAREHOUSE", "LOADING"),
        ("USAGE", "DATABASE", DB),
        ("CREATE SCHEMA", "DATABASE", DB),
        ("OWNERSHIP", "SCHEMA", f"{DB}.MARTS"),
        ("USAGE", "SCHEMA", f"{DB}.RAW_WATER"),
        ("SELECT", "TABLE", f"{DB}.RAW_WATER.READINGS"),
        ("OWNERSHIP", "VIEW", f'{DB}.STAGING."stg_readings"'),
    ],
    READER: [
        ("USAGE", "WAREHOUSE", "LOADING"),
        ("USAGE", "DATABASE", DB),
        ("USAGE", "SCHEMA", f"{DB}.MARTS"),
        ("SELECT", "TABLE", f"{DB}.MARTS.CITY_DAILY"),
    ],
}
FUTURE = {
    LOADER: [("SELECT", "TABLE", f"{DB}.PLATFORM.<TABLE>")],
    TRANSFORMER: [("USAGE", "SCHEMA", f"{DB}.<SCHEMA>"), ("SELECT", "TABLE", f"{DB}.<TABLE>")],
    READER: [("SELECT", kind, f"{DB}.MARTS.<{kind}>") for kind in ("TABLE", "VIEW")],
}


class Cursor:
    """Answers SHOW and DESC as an account that is as wanted. `wrong`: {beginning of a statement: its rows instead}, or
    None for something that doesn't exist. Keeps what was executed."""

    def __init__(self, wrong: dict[str, list[dict[str, Any]] | None] | None = None) -> None:
        self.executed: list[str] = []
        self.answers: dict[str, list[dict[str, Any]] | None] = {
            "DESC INTEGRATION": properties(
                "property_value",
                ENABLED="true",
                STORAGE_AWS_ROLE_ARN=AWS_ROLE,
                STORAGE_AWS_EXTERNAL_ID="TEAM_SFCRole=2_x",
                STORAGE_ALLOWED_LOCATIONS="s3://team-lake/",
                STORAGE_AWS_IAM_USER_ARN=SNOWFLAKES_USER,
            ),
            "SHOW PARAMETERS": [{"key": name, "value": value.lower()} for name, value in USER_PARAMETERS.items()],
            "SHOW DATABASES": [{"name": DB}],
            "SHOW SCHEMAS": [
                {"name": name, "owner": owner}
                for name, owner in {"PLATFORM": LOADER, "MARTS": TRANSFORMER, "RAW_WATER": LOADER}.items()
            ],
            "SHOW WAREHOUSES": [{"name": "LOADING", "resource_monitor": "LOADING"}],
            "SHOW RESOURCE MONITORS": [{"name": "LOADING", "credit_quota": "100.00"}],
            "SHOW STAGES": [
                {"name": "LAKE", "url": "s3://team-lake/", "storage_integration": "DATA_PLATFORM_LAKE", "owner": LOADER}
            ],
        }
        for user, role in ACCOUNT.users.items():
            self.answers[f'DESC USER "{user}"'] = properties(
                "value", DEFAULT_ROLE=role, RSA_PUBLIC_KEY_FP="SHA256:one", DEFAULT_SECONDARY_ROLES="[]"
            )
            self.answers[f'SHOW GRANTS TO USER "{user}"'] = [{"role": role}]
            self.answers[f'SHOW GRANTS TO ROLE "{role}"'] = granted("granted_on", *GRANTS[role])
            self.answers[f'SHOW FUTURE GRANTS TO ROLE "{role}"'] = granted("grant_on", *FUTURE[role])
        self.answers |= wrong or {}
        self.rows: list[dict[str, Any]] = []

    def execute(self, statement: str) -> None:
        self.executed.append(statement)
        if statement.startswith(("SHOW", "DESC")):
            found = max((known for known in self.answers if statement.startswith(known)), key=len)
            rows = self.answers[found]
            if rows is None:
                raise ProgrammingError("does not exist or not authorized", errno=2003)
            self.rows = rows

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows


def properties(column: str, **values: str) -> list[dict[str, Any]]:
    return [{"property": name, column: value} for name, value in values.items()]


def granted(kind: str, *grants: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"privilege": privilege, kind: of, "name": name} for privilege, of, name in grants]


def differences(wrong: dict[str, list[dict[str, Any]] | None] | None = None) -> list[str]:
    return list(drift(Cursor(wrong), ACCOUNT))  # type: ignore[arg-type]


def test_an_account_that_is_as_wanted_has_no_differences() -> None:
    assert differences() == []
    assert integration_identity(Cursor(), ACCOUNT) == (SNOWFLAKES_USER, "TEAM_SFCRole=2_x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "rows", "words"),
    [
        ("DESC INTEGRATION", None, "integration DATA_PLATFORM_LAKE doesn't exist"),
        ("DESC INTEGRATION", properties("property_value", ENABLED="true"), "STORAGE_AWS_ROLE_ARN is null"),
        ('DESC USER "LOADS"', None, "user LOADS doesn't exist"),
        ('DESC USER "LOADS"', properties("value", DEFAULT_ROLE="PUBLIC"), "DEFAULT_ROLE is PUBLIC, expected LOADER"),
        ('DESC USER "LOADS"', properties("value", DEFAULT_ROLE=LOADER), "user LOADS: has no key"),
        (
            'DESC USER "LOADS"',
            properties("value", DEFAULT_ROLE=LOADER, RSA_PUBLIC_KEY_FP="a", RSA_PUBLIC_KEY_2_FP="b"),
            "user LOADS: has two keys",
        ),
        (
            'DESC USER "LOADS"',
            properties("value", DEFAULT_ROLE=LOADER, RSA_PUBLIC_KEY_FP="a", DEFAULT_SECONDARY_ROLES='["ALL"]'),
            "as secondary roles",
        ),
        ("SHOW PARAMETERS", [{"key": "TIMEZONE", "value": "America/Los_Angeles"}], "TIMEZONE is America/Los_Angeles"),
        ('SHOW GRANTS TO USER "LOADS"', [{"role": LOADER}, {"role": "SYSADMIN"}], "expected LOADER alone"),
        ("SHOW WAREHOUSES", [], "warehouse LOADING: doesn't exist"),
        (
            "SHOW WAREHOUSES",
            [{"name": "LOADING", "resource_monitor": "null"}],
            "resource monitor null, expected",
        ),
        ("SHOW RESOURCE MONITORS", [{"name": "LOADING", "credit_quota": "500.00"}], "credits are 500, expected 100"),
        ("SHOW SCHEMAS", [{"name": "MARTS", "owner": LOADER}], "owner of schema MARTS is LOADER, expected DATA_PLATFO"),
        ("SHOW STAGES", [], f"stage {DB}.PLATFORM.LAKE: doesn't exist"),
        (
            "SHOW STAGES",
            [{"name": "LAKE", "url": "s3://x/", "storage_integration": "null", "owner": LOADER}],
            "url is s3://x/",
        ),
        (f'SHOW GRANTS TO ROLE "{READER}"', [], f"role {READER}: lacks USAGE on SCHEMA {DB}.MARTS"),
        (f'SHOW GRANTS TO ROLE "{TRANSFORMER}"', [], f"lacks USAGE on SCHEMA {DB}.RAW_WATER"),
        (f'SHOW FUTURE GRANTS TO ROLE "{LOADER}"', [], f"lacks SELECT on the future TABLES in {DB}.PLATFORM"),
        (
            f'SHOW FUTURE GRANTS TO ROLE "{READER}"',
            granted("grant_on", ("SELECT", "TABLE", f"{DB}.<TABLE>")),
            f"gets SELECT on the future TABLES in {DB}, which it must not",
        ),
    ],
)
def test_each_difference_is_told(statement: str, rows: list[dict[str, Any]] | None, words: str) -> None:
    assert any(words in line for line in differences({statement: rows})), differences({statement: rows})


@pytest.mark.parametrize(
    ("role", "grant"),
    [
        (LOADER, ("INSERT", "TABLE", f"{DB}.MARTS.CITY_DAILY")),
        (LOADER, ("USAGE", "ROLE", TRANSFORMER)),
        (TRANSFORMER, ("SELECT", "TABLE", f"{DB}.PLATFORM.LOADS")),
        (TRANSFORMER, ("USAGE", "SCHEMA", f"{DB}.PLATFORM")),
        (TRANSFORMER, ("INSERT", "TABLE", f"{DB}.RAW_WATER.READINGS")),
        (TRANSFORMER, ("USAGE", "ROLE", LOADER)),
        (READER, ("SELECT", "TABLE", f"{DB}.RAW_WATER.READINGS")),
        (READER, ("INSERT", "TABLE", f"{DB}.MARTS.CITY_DAILY")),
        (READER, ("CREATE SCHEMA", "DATABASE", DB)),
        (READER, ("OWNERSHIP", "DATABASE", DB)),
    ],
)
def test_what_a_role_must_not_have_is_told(role: str, grant: tuple[str, str, str]) -> None:
    rows = granted("granted_on", *GRANTS[role], grant)
    (line,) = differences({f'SHOW GRANTS TO ROLE "{role}"': rows})
    assert line == f"role {role}: may {grant[0]} on {grant[1]} {grant[2]}, which it must not: revoke it"


def test_no_statement_grants_what_a_role_must_not_have() -> None:
    """The statements against the rule of `--check`. Grants on future objects are below."""
    role = ""
    for statement in statements(ACCOUNT, ["RAW_WATER"]):
        words = statement.replace('"', "").split()
        if words[:2] == ["USE", "ROLE"]:
            role = words[2]
        if words[:3] == ["CREATE", "SCHEMA", "IF"]:
            assert is_allowed(ACCOUNT, role, ("OWNERSHIP", "SCHEMA", words[-1])), statement
        if words[0] == "GRANT" and "FUTURE" not in words and words[1] != "ROLE":
            privileges, rest = statement.removeprefix("GRANT ").replace('"', "").split(" ON ")
            on, to = rest.split(" TO ROLE ")
            kind, name = ("TABLE", on.split()[-1] + ".T") if on.startswith("ALL") else on.rsplit(" ", 1)
            kind = kind.replace(" ", "_")
            for privilege in privileges.split(", "):
                assert is_allowed(ACCOUNT, to, (privilege, kind, name)), statement


def test_future_grants_are_exactly_these() -> None:
    given = [each.replace('"', "") for each in statements(ACCOUNT) if " FUTURE " in each]
    assert given == [
        f"GRANT SELECT ON FUTURE TABLES IN SCHEMA {DB}.PLATFORM TO ROLE {LOADER}",
        f"GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {DB} TO ROLE {TRANSFORMER}",
        f"GRANT SELECT ON FUTURE TABLES IN DATABASE {DB} TO ROLE {TRANSFORMER}",
        f"GRANT SELECT ON FUTURE TABLES IN SCHEMA {DB}.MARTS TO ROLE {READER}",
        f"GRANT SELECT ON FUTURE VIEWS IN SCHEMA {DB}.MARTS TO ROLE {READER}",
    ]


def test_each_user_has_one_role_its_own_limits_and_utc() -> None:
    made = [each.replace('"', "") for each in statements(ACCOUNT)]
    for user, role in ACCOUNT.users.items():
        assert f"GRANT ROLE {role} TO USER {user}" in made
        (altered,) = (each for each in made if each.startswith(f"ALTER USER {user} "))
        assert f"DEFAULT_ROLE = {role} " in altered
        assert "DEFAULT_SECONDARY_ROLES = ()" in altered
        assert "TIMEZONE = 'UTC'" in altered
    assert sum(each.startswith("GRANT ROLE") and " TO USER " in each for each in made) == 3


def test_nothing_is_dropped_or_replaced_and_everything_may_run_again() -> None:
    for statement in statements(ACCOUNT):
        assert not {"DROP", "REPLACE", "REVOKE"} & set(statement.split())
        assert "RSA_PUBLIC_KEY" not in statement, "a key would be put back in the midst of its rotation"
        if statement.startswith("CREATE"):
            assert "IF NOT EXISTS" in statement


def test_dbt_gets_to_read_raw_schemas_that_are_there_already() -> None:
    assert existing_raw_schemas(Cursor(), ACCOUNT) == ["RAW_WATER"]  # type: ignore[arg-type]
    for other in ([], [{"name": "DATA1PLATFORM"}]):  # an underscore matches any character
        assert existing_raw_schemas(Cursor({"SHOW DATABASES": other}), ACCOUNT) == []  # type: ignore[arg-type]
    assert f'GRANT SELECT ON ALL TABLES IN SCHEMA "{DB}"."RAW_WATER" TO ROLE "{TRANSFORMER}"' in list(
        statements(ACCOUNT, ["RAW_WATER"])
    )


def test_two_users_may_not_be_one() -> None:
    one = Settings.from_environment({**PRODUCTION, "SNOWFLAKE_DBT_ROLE": "LOADER"})
    with pytest.raises(BootstrapRefused, match="expected three users with three roles"):
        Account.of(one, aws_role_arn=AWS_ROLE, credits=1)


def test_the_command_shows_its_statements_and_refuses_the_local_snowflake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNOWFLAKE_STORAGE_INTEGRATION", "DATA_PLATFORM_LAKE")
    settings.cache_clear()
    command = ["snowflake", "bootstrap", "--aws-role", AWS_ROLE]
    shown = CliRunner().invoke(main, [*command, "--sql"])
    assert shown.exit_code == 0
    assert 'CREATE STORAGE INTEGRATION IF NOT EXISTS "DATA_PLATFORM_LAKE"' in shown.output
    refused = CliRunner().invoke(main, [*command, "--yes"])
    assert refused.exit_code == 1
    assert "no roles, users or integrations" in refused.output
    settings.cache_clear()


def test_another_limit_of_credits_is_told() -> None:
    assert list(drift(Cursor(), replace(ACCOUNT, credits=7))) == [  # type: ignore[arg-type]
        "warehouse LOADING: its month's credits are 100, expected 7"
    ]
