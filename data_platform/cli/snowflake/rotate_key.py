"""`data-platform snowflake rotate-key`: gives a user a key, or replaces it in two steps without an outage. The key is
created here and goes straight to where the platform reads it: it is never shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
from pydantic import SecretStr

from data_platform.cli.snowflake.administrator import KEY_FILE, require_account, signed_in
from data_platform.environment import Settings, settings

USERS: dict[str, Callable[[Settings], Settings]] = {
    "loader": lambda given: given,
    "dbt": Settings.as_dbt,
    "reader": Settings.as_reader,
}


class KeyStore(Protocol):
    """Where the platform reads a user's private key."""

    def read(self) -> bytes:
        """The private key as PEM."""

    def write(self, pem: str) -> None:
        """Replaces the key."""


class SecretStore:
    """A secret in AWS Secrets Manager. It keeps the key before as AWSPREVIOUS."""

    def __init__(self, client: Any, secret: str) -> None:
        self._client = client
        self._secret = secret

    def read(self) -> bytes:
        return str(self._client.get_secret_value(SecretId=self._secret)["SecretString"]).encode()

    def write(self, pem: str) -> None:
        self._client.put_secret_value(SecretId=self._secret, SecretString=pem)

    def __str__(self) -> str:
        return f"the secret {self._secret}"


class FileStore:
    """A file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes:
        return self._path.read_bytes()

    def write(self, pem: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.new")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(pem)
        if self._path.exists():
            owner = self._path.stat()
            if os.geteuid() == 0:
                os.chown(aside, owner.st_uid, owner.st_gid)
        aside.replace(self._path)

    def __str__(self) -> str:
        return str(self._path)


@click.command("rotate-key")
@click.argument("user", type=click.Choice(sorted(USERS)))
@click.argument("step", type=click.Choice(["begin", "finish"]))
@click.option("--admin", metavar="USER", required=True, help="The administrator to sign in as; needs USERADMIN.")
@click.option("--admin-key", type=KEY_FILE, required=True, help="The administrator's private key (PEM).")
@click.option("--secret", metavar="NAME", help="The secret in AWS Secrets Manager that keeps the user's key.")
@click.option(
    "--key-file", type=click.Path(dir_okay=False, path_type=Path), help="The file that keeps it, where there is no AWS."
)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def rotate_key(
    user: str, step: str, admin: str, admin_key: Path, secret: str | None, key_file: Path | None, yes: bool
) -> None:
    """Give a Snowflake user its first key, or replace its key without an outage.

    `begin` creates a key, gives it to the user beside the present one, signs in with it, and stores the private key.
    From then on both keys sign in: runs at work keep the old one, tasks that start get the new one. `finish` takes the
    old key away. Call it when no task from before `begin` is left. A first key needs no `finish`.

    \b
    Examples:
      data-platform snowflake rotate-key loader begin  --secret data-platform-dev/snowflake-private-key ...
      data-platform snowflake rotate-key loader finish --secret data-platform-dev/snowflake-private-key ...
      data-platform snowflake rotate-key dbt begin --key-file snowflake-dbt.p8 --admin ALICE --admin-key alice.p8
    """
    from data_platform.landing.client import aws_client

    given = settings()
    require_account(given)
    store: KeyStore
    if secret is not None and key_file is None:
        store = SecretStore(aws_client(given, "secretsmanager"), secret)
    elif key_file is not None and secret is None:
        store = FileStore(key_file)
    else:
        raise click.UsageError("expected either --secret or --key-file: where the platform reads this user's key")
    as_user = USERS[user](given)
    with signed_in(given, admin, admin_key, "USERADMIN") as cursor:
        (begin if step == "begin" else finish)(cursor, as_user, store, yes)


def begin(cursor: Any, as_user: Settings, store: KeyStore, yes: bool) -> None:
    """Adds a new key, proves that it signs in, and stores it. If it doesn't sign in, takes it away again."""
    from data_platform.warehouse.user_keys import add_key, keys_of, new_key, pem_of, remove_key

    name = as_user.snowflake.user.upper()
    first = not keys_of(cursor, name)
    if not yes:
        click.confirm(f"Give {name} a new key, and write it to {store}?", abort=True)
    key = new_key()
    place = add_key(cursor, name, key)
    try:
        sign_in(as_user, pem_of(key))
        store.write(pem_of(key))
    except BaseException:
        remove_key(cursor, name, place)
        raise
    click.echo(f"{name} signs in with the new key ({place}), which is in {store}.")
    if not first:
        click.echo("The old key signs in too. When every task from before now has ended, call the same with `finish`.")


def finish(cursor: Any, as_user: Settings, store: KeyStore, yes: bool) -> None:
    """Proves that the stored key signs in, and takes the other one away. Raises RotationRefused."""
    from data_platform.warehouse.user_keys import fingerprint_of, key_to_remove, remove_key

    name = as_user.snowflake.user.upper()
    pem = store.read()
    place = key_to_remove(cursor, name, fingerprint_of(pem))
    sign_in(as_user, pem.decode())
    if place is None:
        click.echo(f"{name} has only the key that is in {store}: there is nothing to do.")
        return
    if not yes:
        click.confirm(f"Take the other key ({place}) from {name}? What still uses it is locked out.", abort=True)
    remove_key(cursor, name, place)
    click.echo(f"{name} has only the key that is in {store}.")


def sign_in(as_user: Settings, pem: str) -> None:
    """Opens and closes a session with this key. Raises the connector's errors."""
    from data_platform.warehouse.connection import connect

    key = {"private_key": SecretStr(pem), "private_key_path": None, "private_key_passphrase": None}
    with_key = as_user.model_copy(update={"snowflake": as_user.snowflake.model_copy(update=key)})
    connect(with_key, query_tag="data-platform snowflake rotate-key").close()
