"""Points the contract tests of the local Snowflake at a real account, and says which differ: `make test-account`.

The tests run one after another, each in a schema of its own, which is dropped; files go below _doctor/ in the lake and
are deleted. Needs these variables, and AWS credentials for the lake as boto3 finds them:

    TEST_ACCOUNT_SNOWFLAKE_ACCOUNT, _USER, _ROLE, _WAREHOUSE, _DATABASE    a user that may create schemas: the loader
    TEST_ACCOUNT_SNOWFLAKE_PRIVATE_KEY_PATH                               its private key (PEM)
    TEST_ACCOUNT_STORAGE_INTEGRATION, TEST_ACCOUNT_LAKE_BUCKET            an integration, and a bucket that it may read

Exit codes: 0 none differs; 1 some differ; 2 a variable is missing. All arguments are pytest's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

TESTS = Path(__file__).parent / "local_cloud" / "snowflake"
_PREFIX = "TEST_ACCOUNT_"
_SESSION = ("ACCOUNT", "USER", "ROLE", "WAREHOUSE", "DATABASE")
NEEDED = (
    *(f"{_PREFIX}SNOWFLAKE_{name}" for name in (*_SESSION, "PRIVATE_KEY_PATH")),
    f"{_PREFIX}STORAGE_INTEGRATION",
    f"{_PREFIX}LAKE_BUCKET",
)
_PLUGIN = ("-p", "data_platform_tests.account", "--account", "-p", "no:cacheprovider", "-n", "0")


@dataclass(frozen=True)
class RealAccount:
    """The account of the variables."""

    variables: Mapping[str, str]

    def connect(self, **overrides: Any) -> SnowflakeConnection:
        """Signs in with the real connector; `overrides` are its keyword arguments."""
        import snowflake.connector

        from data_platform.warehouse.arrow_once import read_one_arrow_result

        read_one_arrow_result()
        given = self.variables
        arguments: dict[str, Any] = {
            **{name.lower(): given[f"{_PREFIX}SNOWFLAKE_{name}"] for name in _SESSION},
            "private_key_file": given[f"{_PREFIX}SNOWFLAKE_PRIVATE_KEY_PATH"],
            "authenticator": "SNOWFLAKE_JWT",
            "login_timeout": 60,
            "network_timeout": 300,
            "timezone": "UTC",
        }
        for name in ("host", "port", "protocol"):  # a private link
            if value := given.get(f"{_PREFIX}SNOWFLAKE_{name.upper()}"):
                arguments[name] = value
        return snowflake.connector.connect(**{**arguments, **overrides})

    @property
    def bucket(self) -> str:
        """The lake's bucket."""
        return self.variables[f"{_PREFIX}LAKE_BUCKET"]

    @property
    def integration(self) -> str:
        """The storage integration by which Snowflake reads it."""
        return self.variables[f"{_PREFIX}STORAGE_INTEGRATION"]

    @contextmanager
    def scratch_schema(self, name: str) -> Iterator[SnowflakeConnection]:
        """A session with a new schema as the current one, which is dropped afterwards."""
        connection = self.connect()
        connection.cursor().execute(f"create schema {name}")
        try:
            yield connection
        finally:
            connection.close()  # rolls back
            with self.connect() as another:
                another.cursor().execute(f"drop schema if exists {name} cascade")


def pytest_addoption(parser: pytest.Parser) -> None:
    """As a plugin: whether the tests are for a real account."""
    parser.addoption("--account", action="store_true", help="run the contract tests against a real account")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that hold for Snowflake too: those that ask for `account`, and not for the stand-in's process, nor
    for what only the stand-in does."""
    if not config.getoption("--account"):
        return
    kept, left_out = [], []
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        contract = "account" in names and "snowflake_server" not in names and not item.get_closest_marker("stand_in")
        (kept if contract else left_out).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def main(arguments: Sequence[str]) -> int:
    """Runs the tests, and prints those that differ. Returns the exit code."""
    from data_platform_tests.server_suites import Session

    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"make test-account needs {', '.join(missing)}", file=sys.stderr)
        return 2
    session = Session.run([str(TESTS), *_PLUGIN, *arguments])
    differ, same = sorted(session.with_outcome("failed")), session.with_outcome("passed")
    errors = session.errors() + ([] if differ or same else ["no test ran"])
    for test in differ:
        print(f"DIFFERS {test}\n  {session.reasons[test].splitlines()[0]}")
    for error in errors:
        print("ERROR", error)
    account = os.environ[NEEDED[0]]
    print(f"=== {account}: {len(same)} contract tests hold, {len(differ)} differ ===", flush=True)
    return 1 if differ or errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
