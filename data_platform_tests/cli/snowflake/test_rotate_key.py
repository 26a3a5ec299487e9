"""Rotating a key in two steps. The account is a double that keeps two keys per user; signing in checks the key against
them, as Snowflake does. The stored secret is a real file, or Secrets Manager's requests as boto3 checks them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from snowflake.connector.errors import DatabaseError

from data_platform.cli import main
from data_platform.cli.snowflake import rotate_key
from data_platform.cli.snowflake.rotate_key import FileStore, SecretStore
from data_platform.environment import Settings, settings
from data_platform.warehouse.user_keys import PLACES, fingerprint_of, new_key, pem_of
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer
from data_platform_tests.test_environment import LOCAL_ENDPOINTS, PRODUCTION

USER = "DATA_PLATFORM_DBT"


class Account:
    """A user's two places for keys, by the statements that Snowflake documents."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.signs_in = True
        self.rows: list[dict[str, str]] = []

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        words = statement.split()
        if words[0] == "DESC":
            assert words[2] == f'"{USER}"'
            self.rows = [
                {"property": f"{place}_FP", "value": fingerprint(self.keys[place]) if place in self.keys else "null"}
                for place in PLACES
            ]
        elif words[:2] == ["ALTER", "USER"] and words[3] == "SET":
            self.keys[words[4]] = words[6].strip("'")
        elif words[:2] == ["ALTER", "USER"] and words[3] == "UNSET":
            del self.keys[words[4]]
        else:
            raise AssertionError(statement)

    def fetchall(self) -> list[dict[str, str]]:
        return self.rows

    def accepts(self, pem: str) -> bool:
        return self.signs_in and fingerprint_of(pem.encode()) in map(fingerprint, self.keys.values())


def fingerprint(public: str) -> str:
    return f"SHA256:{base64.b64encode(hashlib.sha256(base64.b64decode(public)).digest()).decode()}"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    made = Account()

    def sign_in(as_user: Settings, pem: str) -> None:
        assert as_user.snowflake.user == USER
        if not made.accepts(pem):
            raise PermissionError("JWT token is invalid.")

    monkeypatch.setattr(rotate_key, "signed_in", lambda *_: made)
    monkeypatch.setattr(rotate_key, "sign_in", sign_in)
    monkeypatch.setattr("data_platform.warehouse.user_keys.BITS", 2048)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "admin.p8").write_text("never read here")
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    return made


def rotate(step: str, *options: str) -> Result:
    settings.cache_clear()
    arguments = ["snowflake", "rotate-key", "dbt", step, "--admin", "ALICE", "--admin-key", "admin.p8", "--yes"]
    try:
        return CliRunner().invoke(main, [*arguments, *(options or ("--key-file", "dbt.p8"))])
    finally:
        settings.cache_clear()


def test_a_user_without_a_key_gets_one_that_only_its_owner_can_read(account: Account, tmp_path: Path) -> None:
    done = rotate("begin")
    assert done.exit_code == 0, done.output
    assert list(account.keys) == ["RSA_PUBLIC_KEY"]
    assert account.accepts((tmp_path / "dbt.p8").read_text())
    assert (tmp_path / "dbt.p8").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in done.output
    assert "`finish`" not in done.output, "there is no old key"
    Settings.from_environment({**PRODUCTION, "SNOWFLAKE_DBT_PRIVATE_KEY": (tmp_path / "dbt.p8").read_text()})


def test_between_the_two_steps_both_keys_sign_in_and_afterwards_only_the_new_one(
    account: Account, tmp_path: Path
) -> None:
    keys = []
    for _ in range(3):  # the second rotation goes back to the first place
        assert rotate("begin").exit_code == 0
        keys.append((tmp_path / "dbt.p8").read_text())
        assert all(account.accepts(key) for key in keys[-2:])
        assert rotate("finish").exit_code == 0
        assert [account.accepts(key) for key in keys] == [*([False] * (len(keys) - 1)), True]
    assert "nothing to do" in rotate("finish").output


def test_a_rotation_that_is_not_finished_is_not_begun_again(account: Account) -> None:
    rotate("begin")
    rotate("begin")
    before = dict(account.keys)
    done = rotate("begin")
    assert done.exit_code == 1
    assert "has two keys already" in done.output
    assert account.keys == before


def test_a_new_key_that_does_not_sign_in_is_taken_back_and_not_stored(account: Account, tmp_path: Path) -> None:
    rotate("begin")
    stored, keys = (tmp_path / "dbt.p8").read_text(), dict(account.keys)
    account.signs_in = False
    assert rotate("begin").exit_code == 1
    assert (account.keys, (tmp_path / "dbt.p8").read_text()) == (keys, stored)


def test_a_new_key_that_cannot_be_stored_is_taken_back(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate("begin")
    keys = dict(account.keys)

    def full(self: FileStore, pem: str) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(FileStore, "write", full)
    assert rotate("begin").exit_code == 1
    assert account.keys == keys


def test_finish_never_locks_the_user_out(account: Account, tmp_path: Path) -> None:
    rotate("begin")
    rotate("begin")
    before = dict(account.keys)
    (tmp_path / "dbt.p8").write_text(pem_of(new_key()))
    done = rotate("finish")
    assert done.exit_code == 1
    assert "doesn't have the stored key" in done.output
    assert account.keys == before


def test_a_begin_that_was_killed_before_it_stored_the_key_is_cleared_by_finish(
    account: Account, tmp_path: Path
) -> None:
    rotate("begin")
    first = dict(account.keys)
    stored = (tmp_path / "dbt.p8").read_text()
    rotate("begin")
    (tmp_path / "dbt.p8").write_text(stored)
    assert rotate("finish").exit_code == 0
    assert account.keys == first


def test_a_key_goes_to_one_place(account: Account) -> None:
    assert rotate("begin", "--secret", "a", "--key-file", "b").exit_code == 2


class Registered(Account):
    """The keys of the local Snowflake's users, in the files that it reads."""

    def __init__(self, public_key: Path) -> None:
        super().__init__()
        self.files = dict(zip(PLACES, (public_key, public_key.with_name(f"{public_key.name}.2")), strict=True))
        pem = load_pem_public_key(public_key.read_bytes())
        der = pem.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.keys["RSA_PUBLIC_KEY"] = base64.b64encode(der).decode()

    def execute(self, statement: str) -> None:
        super().execute(statement)
        for place, path in self.files.items():
            path.unlink(missing_ok=True)
            if place in self.keys:
                key = load_der_public_key(base64.b64decode(self.keys[place]))
                path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.server
def test_the_real_connector_signs_in_throughout_a_rotation(tmp_path: Path) -> None:
    """With the local Snowflake, which checks each token's signature and fingerprint as Snowflake documents it."""
    server = SnowflakeServer(tmp_path, KeyPair.generate(tmp_path / "keys"))
    server.start()
    try:
        given = {**LOCAL_ENDPOINTS, **server.environment(), "SNOWFLAKE_DBT_USER": USER}
        as_dbt = Settings.from_environment(given).as_dbt()
        old = server.keys.private_key_path.read_text()
        account, store = Registered(server.keys.public_key_path), FileStore(tmp_path / "dbt.p8")
        rotate_key.begin(account, as_dbt, store, yes=True)
        new = store.read().decode()
        for pem in (old, new):
            rotate_key.sign_in(as_dbt, pem)
        rotate_key.finish(account, as_dbt, store, yes=True)
        rotate_key.sign_in(as_dbt, new)
        with pytest.raises(DatabaseError, match="JWT token is invalid"):
            rotate_key.sign_in(as_dbt, old)
    finally:
        server.stop()


def test_a_secret_is_read_and_replaced_in_secrets_manager() -> None:
    client = boto3.client("secretsmanager", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_response("get_secret_value", {"SecretString": "old"}, {"SecretId": "dev/key"})
        stub.add_response("put_secret_value", {}, {"SecretId": "dev/key", "SecretString": "new"})
        store = SecretStore(client, "dev/key")
        assert store.read() == b"old"
        store.write("new")
