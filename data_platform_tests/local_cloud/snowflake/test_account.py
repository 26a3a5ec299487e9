"""`make test-account`, with the stand-in in the account's place: what it needs, runs and leaves, and what it says about
tests that differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from data_platform_tests.account import NEEDED
from data_platform_tests.local_cloud.snowflake.answers import rows
from data_platform_tests.local_cloud.snowflake.conftest import BUCKET, CREDENTIALS, bucket
from data_platform_tests.servers.snowflake import DATABASE, SnowflakeServer

ROOT = Path(__file__).parents[3]


def test_account(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEST_ACCOUNT_")}
    command = [sys.executable, "-m", "data_platform_tests.account", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True)


test_account.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def variables(snowflake_server: SnowflakeServer, s3_endpoint: str) -> dict[str, str]:
    values = ("local", "DATA_PLATFORM", "DATA_PLATFORM", "DATA_PLATFORM", DATABASE)
    return {
        **dict(zip(NEEDED, (*values, str(snowflake_server.keys.private_key_path), "lake", BUCKET), strict=True)),
        "TEST_ACCOUNT_SNOWFLAKE_HOST": "127.0.0.1",
        "TEST_ACCOUNT_SNOWFLAKE_PORT": str(snowflake_server.port),
        "TEST_ACCOUNT_SNOWFLAKE_PROTOCOL": "http",
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        **CREDENTIALS,
    }


def test_without_settings_it_names_them_in_one_line() -> None:
    done = test_account()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"make test-account needs {', '.join(NEEDED)}\n"
    one = test_account(**dict.fromkeys(NEEDED[1:], "x"))
    assert (one.returncode, one.stderr) == (2, "make test-account needs TEST_ACCOUNT_SNOWFLAKE_ACCOUNT\n")


def test_contract_tests_run_in_schemas_that_are_dropped_and_those_of_the_stand_in_do_not(
    snowflake_server: SnowflakeServer, variables: dict[str, str], s3_endpoint: str
) -> None:
    with snowflake_server.connect() as connection:
        cursor = connection.cursor()
        before = rows(cursor, "show terse schemas in database data_platform limit 10000")
        done = test_account("-k", "test_merge or rolled_back_copy or tells_who_it_is or bindings", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "=== local: 3 contract tests hold, 0 differ ==="
        after = rows(cursor, "show terse schemas in database data_platform limit 10000")
    assert {row[1] for row in after} == {row[1] for row in before}
    assert list(obstore.list(bucket(BUCKET, s3_endpoint, "_doctor"))) == [], "files are left"


def test_a_test_that_differs_is_named_with_its_reason(variables: dict[str, str]) -> None:
    """A lake without the file that COPY names."""
    done = test_account("-k", "rolled_back_copy or exact", **{**variables, "TEST_ACCOUNT_LAKE_BUCKET": "nowhere"})
    assert done.returncode == 1
    assert (
        "DIFFERS data_platform_tests/local_cloud/snowflake/engine/test_copy_into.py::test_a_rolled_back" in done.stdout
    )
    assert done.stdout.splitlines()[-1].endswith("contract tests hold, 1 differ ===")
