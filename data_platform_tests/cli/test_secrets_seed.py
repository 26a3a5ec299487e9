"""`data-platform secrets seed`: fills the secrets that the stacks make, and never shows a value."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from data_platform.cli import main
from data_platform.cli.secrets_seed import SMOKE_KEY, invalid
from data_platform.environment import Settings, settings
from data_platform.environment.machine import machine_environment
from data_platform.landing import client as clients

DEV = {
    "DATA_PLATFORM_ENVIRONMENT": "dev",
    "DATA_PLATFORM_TIME_ZONE": "UTC",
    "DATA_PLATFORM_LAKE_BUCKET": "lake",
    "DATA_PLATFORM_LANDING_BUCKET": "landing",
    "SNOWFLAKE_ACCOUNT": "org-team",
    "SNOWFLAKE_USER": "DATA_PLATFORM",
    "SNOWFLAKE_ROLE": "LOADER",
    "SNOWFLAKE_WAREHOUSE": "DATA_PLATFORM",
    "SNOWFLAKE_DATABASE": "DATA_PLATFORM",
    "SNOWFLAKE_STORAGE_INTEGRATION": "LAKE",
}
KEY = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
URL = "postgresql://reader:planted@db.example.org/records?sslmode=verify-full"
NAMES = ("code-token", "connection-city_records", "snowflake-private-key")


class Manager:
    """Secrets Manager, as far as the command uses it, with the answers that AWS documents. Of another environment, it
    has a secret too."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {
            **{f"data-platform-dev/{name}": [] for name in NAMES},
            "data-platform-prod/code-token": ["production's"],
        }

    def get_paginator(self, operation: str) -> Manager:
        assert operation == "list_secrets"
        return self

    def paginate(self, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ((wanted,),) = (each["Values"] for each in Filters)
        listed = [
            {"Name": name, "Description": "Why."}
            | ({"SecretVersionsToStages": {"1": ["AWSCURRENT"]}} if values else {})
            for name, values in self.values.items()
            if name.startswith(wanted)
        ]
        return [{"SecretList": listed[:2]}, {"SecretList": listed[2:]}]

    def put_secret_value(self, SecretId: str, SecretString: str) -> None:
        self.values[SecretId].append(SecretString)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Manager:
    made = Manager()
    monkeypatch.setattr(clients, "aws_client", lambda given, service: made)
    monkeypatch.chdir(tmp_path)
    return made


def seed(*arguments: str, **variables: str) -> Result:
    settings.cache_clear()
    try:
        return CliRunner().invoke(main, ["secrets", "seed", *arguments], env={**DEV, **variables})
    finally:
        settings.cache_clear()


def secret_file(values: Mapping[str, Any] | str, mode: int = 0o600) -> str:
    file = Path("values")
    file.write_text(values if isinstance(values, str) else json.dumps(values))
    file.chmod(mode)
    return str(file)


def test_a_file_fills_what_is_empty_and_no_value_is_shown(manager: Manager) -> None:
    done = seed("--from", secret_file({"snowflake-private-key": KEY, "connection-city_records": URL}))
    assert manager.values["data-platform-dev/snowflake-private-key"] == [KEY]
    assert manager.values["data-platform-dev/connection-city_records"] == [URL]
    assert (done.exit_code, "Still empty: code-token" in done.output) == (1, True)
    assert "planted" not in done.output and KEY.splitlines()[3] not in done.output
    again = seed("--from", secret_file({"code-token": "abc123", "connection-city_records": "other"}))
    assert again.exit_code == 0, again.output
    assert "Left as it is: connection-city_records" in again.output
    assert manager.values["data-platform-dev/connection-city_records"] == [URL]


def test_lines_may_hold_a_key_of_several_lines(manager: Manager) -> None:
    seed("--from", secret_file(f'code-token=abc123\nsnowflake-private-key="{KEY}"\n'))
    assert manager.values["data-platform-dev/snowflake-private-key"] == [KEY]


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(manager: Manager, mode: int) -> None:
    done = seed("--from", secret_file({"code-token": "abc123"}, mode))
    assert (done.exit_code, "chmod 600" in done.output) == (1, True)
    assert manager.values["data-platform-dev/code-token"] == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("snowflake-private-key", "MIIEvQIBADANBg", "PEM private key"),
        ("snowflake-private-key", "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n", "is it whole?"),
        ("connection-city_records", "postgresql://reader:planted@db.example.org/records", "without TLS"),
        ("connection-city_records", "https://:planted@api.airtable.com", "another kind of system"),
        ("code-token", "planted one", "without blanks"),
    ],
)
def test_one_wrong_value_keeps_all_from_being_written(manager: Manager, name: str, value: str, said: str) -> None:
    others = {"code-token": "abc123", "snowflake-private-key": KEY}
    done = seed("--from", secret_file({**others, name: value}))
    assert (done.exit_code, said in done.output, "planted" in done.output) == (1, True, False), done.output
    assert not any(values for secret, values in manager.values.items() if "dev" in secret)


def test_the_key_of_the_smoke_test_is_one_of_ssh_without_a_passphrase() -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    openssh = own.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    for good in (openssh, openssh.strip(), KEY):
        assert invalid(SMOKE_KEY, good, "dev") is None
    locked = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"planted")).decode()
    for wrong in (locked, openssh[:200], "ssh-ed25519 AAAAplanted smoke", ""):
        said = str(invalid(SMOKE_KEY, wrong, "dev"))
        assert "without a passphrase" in said and "planted" not in said


def test_a_value_is_replaced_only_by_name_and_on_demand(manager: Manager) -> None:
    manager.values["data-platform-dev/code-token"] = ["old"]
    file = secret_file({"code-token": "new"})
    for arguments, said in [(("--only", "code-token"), "--replace puts"), (("--replace",), "needs --only")]:
        done = seed("--from", file, *arguments)
        assert (done.exit_code, said in done.output) == (2, True), done.output
    seed("--from", file, "--only", "code-token", "--replace")
    assert manager.values["data-platform-dev/code-token"] == ["old", "new"]
    assert manager.values["data-platform-prod/code-token"] == ["production's"]


def test_wrong_names_broken_files_and_local_are_refused(manager: Manager) -> None:
    for done, said in [
        (seed("--only", "code-tokn"), "there is no secret code-tokn; the secrets are code-token"),
        (seed("--from", secret_file({"code-tokn": "planted"})), "names code-tokn"),
        (seed("--from", secret_file('{"code-token": "planted"')), "is no JSON: it breaks in line 1"),
        (seed("--from", secret_file("planted\n")), "are no NAME=value"),
        (seed(DATA_PLATFORM_ENVIRONMENT="local"), "secrets are in .env"),
        (seed(), "There is no terminal to ask on"),
    ]:
        assert said in done.output and done.exit_code != 0 and "planted" not in done.output, done.output


def test_the_local_secrets_manager_is_seeded_at_a_prompt_that_shows_nothing(
    local_cloud: Mapping[str, str], tmp_path: Path
) -> None:
    aws = {name: value for name, value in local_cloud.items() if name.startswith("AWS_")}
    client = clients.aws_client(Settings.from_environment({**DEV, **aws}), "secretsmanager")
    for name in ("snowflake-private-key", "code-token"):
        client.create_secret(Name=f"data-platform-dev/{name}", Description="Why.")
    (tmp_path / "key.p8").write_text(KEY)
    master, slave = pty.openpty()
    # The local one says of a secret without a value that it has a current version, which AWS doesn't.
    replaced = ["--replace", "--only", "code-token", "--only", "snowflake-private-key"]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("data-platform")), "secrets", "seed", *replaced],
        env={**machine_environment(), **DEV, **aws},
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = ""

    def read() -> str:
        """What it shows next; nothing once it has ended: Linux then raises."""
        try:
            return os.read(master, 4096).decode()
        except OSError:
            return ""

    for prompt, typed in [("code-token (", "planted-token"), ("the key's file", str(tmp_path / "key.p8"))]:
        while prompt not in shown:
            said = read()
            assert said, shown
            shown += said
        time.sleep(0.2)  # the echo is off once the prompt has been read
        os.write(master, f"{typed}\n".encode())
    while said := read():
        shown += said
    assert process.wait(60) == 0, shown
    os.close(master)
    assert "planted-token" not in shown
    stored = {
        name: client.get_secret_value(SecretId=f"data-platform-dev/{name}")["SecretString"]
        for name in ("snowflake-private-key", "code-token")
    }
    assert stored == {"snowflake-private-key": KEY, "code-token": "planted-token"}
