"""`data-platform secrets check`: what is needed, by whom, and what is missing; never a value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data_platform.cli import main
from data_platform.cli import secrets as command
from data_platform.environment import settings
from data_platform_tests.cli.test_secrets_seed import DEV

COMMON = {"description": "D", "time_zone": "UTC", "owners": ["team:data"]}
TABLE = {"table": "rows", "description": "Rows."}
ID = {"name": "id", "type": "string", "nullable": False}
SOURCES = {
    "databases/records": (
        "SqlTables",
        {"connection": "records", "tables": [{**TABLE, "contract": {"columns": [ID]}}]},
    ),
    "airtable/programmes": (
        "AirtableTables",
        {
            "connection": "programmes",
            "base": "appMeridian0000001",
            "tables": [{**TABLE, "from": "tblProgrammes00001", "contract": {"columns": [{**ID, "source_name": "id"}]}}],
        },
    ),
    "knack/grants": ("KnackObjects", {"connection": "grants", "tables": []}),
    "knack/more_grants": ("KnackObjects", {"connection": "grants", "tables": []}),
}
POSTGRES = "postgresql://dagster:planted@127.0.0.1:5432/dagster"


@pytest.fixture(autouse=True)
def defs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, (component, attributes) in SOURCES.items():
        file = tmp_path / "defs" / "sources" / place / "defs.yaml"
        file.parent.mkdir(parents=True)
        text = {"type": f"data_platform.components.{component}", "attributes": {**COMMON, **attributes}}
        file.write_text(json.dumps(text))
    monkeypatch.setattr(command, "DEFS", tmp_path / "defs")
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_PLATFORM_CONNECTION_CITY_RECORDS", "DAGSTER_POSTGRES_URL"):
        monkeypatch.delenv(name, raising=False)


def check(*arguments: str, **variables: str) -> Result:
    settings.cache_clear()
    try:
        return CliRunner().invoke(main, ["secrets", "check", *arguments], env=variables)
    finally:
        settings.cache_clear()


def test_each_missing_secret_is_named_with_its_readers_and_what_to_do() -> None:
    done = check("--json")
    assert done.exit_code == 1
    found = {secret["variable"]: secret for secret in json.loads(done.stdout)}
    assert {name: (secret["state"], secret["needed_by"]) for name, secret in found.items()} == {
        "SNOWFLAKE_PRIVATE_KEY_PATH": ("set", "Snowflake: the loader"),
        "SNOWFLAKE_DBT_PRIVATE_KEY_PATH": ("set", "Snowflake: dbt"),
        "SNOWFLAKE_READER_PRIVATE_KEY_PATH": ("set", "Snowflake: doctor --deep, as the reader"),
        "DAGSTER_POSTGRES_URL": ("missing", "Dagster's storage"),
        "DATA_PLATFORM_CONNECTION_RECORDS": ("missing", "sources/databases/records"),
        "DATA_PLATFORM_CONNECTION_PROGRAMMES": ("missing", "sources/airtable/programmes"),
        "DATA_PLATFORM_CONNECTION_GRANTS": ("missing", "sources/knack/grants, sources/knack/more_grants"),
    }
    assert (
        "https://APPLICATION_ID:...@api.knack.com; set it in .env" in found["DATA_PLATFORM_CONNECTION_GRANTS"]["what"]
    )


def test_with_every_secret_it_succeeds_and_shows_no_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATA_PLATFORM_CONNECTION_GRANTS=http://a:planted@127.0.0.1/knack\n")
    done = check(
        DAGSTER_POSTGRES_URL=POSTGRES,
        DATA_PLATFORM_CONNECTION_RECORDS=POSTGRES,
        DATA_PLATFORM_CONNECTION_PROGRAMMES="http://:planted@127.0.0.1/airtable",
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.count(" set ") == 7
    (grants,) = (line for line in done.stdout.splitlines() if "GRANTS" in line)
    assert grants.rstrip().endswith(" .env")
    assert "planted" not in done.output


def test_a_connection_to_another_kind_of_system_is_wrong() -> None:
    done = check("--json", DATA_PLATFORM_CONNECTION_GRANTS=POSTGRES)
    (grants,) = (secret for secret in json.loads(done.stdout) if secret["variable"].endswith("GRANTS"))
    assert (done.exit_code, grants["state"]) == (1, "wrong")
    assert "planted" not in done.output


def test_what_only_the_tasks_of_runs_get_is_not_missing() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:data-platform/connection-grants"
    given = {"ecs": {"secrets": [{"name": "DATA_PLATFORM_CONNECTION_GRANTS", "valueFrom": arn}]}}
    done = check("--json", DAGSTER_CONTAINER_CONTEXT=json.dumps(given))
    (grants,) = (secret for secret in json.loads(done.stdout) if secret["variable"].endswith("GRANTS"))
    assert (grants["state"], grants["what"]) == ("given to runs", f"in the tasks of runs, from {arn}")


def test_the_key_of_the_smoke_test_is_listed_where_a_deployment_has_one(tmp_path: Path) -> None:
    def listed(**variables: str) -> dict[str, str]:
        return {each["variable"]: each["what"] for each in json.loads(check("--json", **variables).stdout)}

    assert "SMOKE_PRIVATE_KEY" not in listed(**DEV)
    (tmp_path / "defs/sources/partners/smoke").mkdir(parents=True)
    (tmp_path / "defs/sources/partners/smoke/defs.yaml").write_text("type: data_platform.components.SftpPartner\n")
    assert "SMOKE_PRIVATE_KEY" not in listed(), "`local` has a key of its own"
    assert "secrets seed --only smoke-private-key" in listed(**DEV)["SMOKE_PRIVATE_KEY"]


def test_a_git_servers_secrets_are_optional() -> None:
    done = check("--json", DATA_PLATFORM_CODE_URL="http://127.0.0.1/code.git")
    states = {secret["variable"]: secret["state"] for secret in json.loads(done.stdout)}
    assert (states["DATA_PLATFORM_CODE_TOKEN"], states["DATA_PLATFORM_CODE_WEBHOOK_SECRET"]) == ("optional", "optional")
