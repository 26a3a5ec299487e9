"""`data-platform secrets seed`: fills the empty secrets that the stacks have made in Secrets Manager. A value is read
from a prompt or a file, checked, and sent to AWS; it is in no argument, message or log."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_platform.cli.errors import FAILED
from data_platform.cli.output import add_row, colored, show, table
from data_platform.cli.project import DEFS
from data_platform.environment.connections import DATABASE, System, problem, unusable

if TYPE_CHECKING:
    from collections.abc import Iterable

PRIVATE_KEY, CONNECTION = "private-key", "connection-"
SMOKE_KEY = "smoke-private-key"
DATABASE_FIELDS = ("host", "port", "username", "password")


@dataclass(frozen=True)
class Slot:
    """A secret in Secrets Manager: its name within the environment, what it is for, and whether it has a value."""

    name: str
    purpose: str
    filled: bool


def slots(client: Any, prefix: str) -> list[Slot]:
    """The environment's secrets, as the stacks named them. Reads no value. Raises botocore's errors."""
    pages = client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [f"{prefix}/"]}])
    return sorted(
        (
            Slot(
                each["Name"].removeprefix(f"{prefix}/"),
                each.get("Description", ""),
                any("AWSCURRENT" in stages for stages in each.get("SecretVersionsToStages", {}).values()),
            )
            for page in pages
            for each in page["SecretList"]
            if each["Name"].startswith(f"{prefix}/")
        ),
        key=lambda each: each.name,
    )


def seed(client: Any, prefix: str, environment: str, file: Path | None, only: Sequence[str], *, replace: bool) -> None:
    """Shows what is missing, asks for it or reads it, and fills it in. Exits with 1 if something is still missing.
    Raises click.ClickException, before anything is written, for a value that can't be right."""
    found = slots(client, prefix)
    if not found:
        raise click.ClickException(
            f"Secrets Manager has no secret {prefix}/...: deploy the stack {prefix}-secrets first, or see whether"
            " AWS_REGION and your credentials are this environment's"
        )
    wanted = _chosen(found, only, replace=replace)
    given = _from_file(file, found, wanted) if file is not None else {}
    _show(found, prefix)
    if file is None and wanted:
        given = _asked(wanted, environment)
    if problems := [
        f"{name}: {wrong}" for name, value in given.items() if (wrong := invalid(name, value, environment))
    ]:
        raise click.ClickException("Nothing was written.\n" + "\n".join(f"  {line}" for line in problems))
    for name, value in given.items():
        client.put_secret_value(SecretId=f"{prefix}/{name}", SecretString=value)
        click.echo(f"filled: {prefix}/{name}")
    if left := [each.name for each in found if not each.filled and each.name not in given]:
        click.echo(f"Still empty: {', '.join(left)}", err=True)
        sys.exit(FAILED)
    click.echo("No secret is empty. Tasks read their secrets when they start: restart services that need a new value.")


def invalid(name: str, value: str, environment: str) -> str | None:
    """Why a value can't be that secret's, and what is expected; None if it can. Quotes nothing of it."""
    if name == SMOKE_KEY:
        return _invalid_ssh_key(value)
    if name.endswith(PRIVATE_KEY):
        return _invalid_key(value)
    if name.startswith(CONNECTION):
        connection = name.removeprefix(CONNECTION)
        readers, system = _readers(connection)
        wrong = unusable(connection, value, readers, system, environment)
        if wrong is None and (what := problem(value, environment)):
            wrong = f"it {what}"
        return wrong
    if name == "database":
        return _invalid_database(value)
    if not value or any(character.isspace() or not character.isprintable() for character in value):
        return "expected one line without blanks"
    return None


def _invalid_key(value: str) -> str | None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    expected = "expected a PEM private key (PKCS #8): -----BEGIN PRIVATE KEY----- and a line break come first"
    if not value.lstrip().startswith("-----BEGIN PRIVATE KEY-----\n"):
        return f"{expected}; `openssl pkcs8 -topk8 -nocrypt -in KEY` converts others"
    try:
        load_pem_private_key(value.strip().encode(), None)
    except (ValueError, TypeError):
        return f"{expected}; this one can't be read: is it whole?"
    return None


def _invalid_ssh_key(value: str) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    key = value.strip().encode() + b"\n"
    load = load_ssh_private_key if key.startswith(b"-----BEGIN OPENSSH") else load_pem_private_key
    try:
        load(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return (
            "expected a private key in OpenSSH's format or PEM, without a passphrase; this one can't be read."
            ' `ssh-keygen -t ed25519 -N "" -f smoke_key` makes one'
        )
    return None


def _invalid_database(value: str) -> str | None:
    try:
        fields = json.loads(value)
    except ValueError:
        fields = None
    missing = [name for name in DATABASE_FIELDS if not isinstance(fields, dict) or not fields.get(name)]
    return (
        f"expected a JSON object with {', '.join(DATABASE_FIELDS)}; it lacks {', '.join(missing)}" if missing else None
    )


def _readers(connection: str) -> tuple[str, System]:
    from data_platform.feeds.connections import needed_connections

    for name, readers, system in needed_connections(DEFS):
        if name == connection:
            return ", ".join(readers), system
    return "a source", DATABASE


def _chosen(found: Sequence[Slot], only: Sequence[str], *, replace: bool) -> list[Slot]:
    """The secrets to fill. Raises click.UsageError for a name that there isn't, and for one that has a value."""
    by_name = {each.name: each for each in found}
    if unknown := [name for name in only if name not in by_name]:
        raise click.UsageError(f"there is no secret {', '.join(unknown)}; the secrets are {', '.join(by_name)}")
    chosen = [by_name[name] for name in only] or list(found)
    filled = [each.name for each in chosen if each.filled]
    if only and filled and not replace:
        raise click.UsageError(f"{', '.join(filled)} has a value; --replace puts a new one in its place")
    if replace and not only:
        raise click.UsageError("--replace needs --only NAME: it replaces the secrets that you name, never all")
    return [each for each in chosen if replace or not each.filled]


def _from_file(file: Path, found: Iterable[Slot], wanted: Sequence[Slot]) -> dict[str, str]:
    """The wanted values of a file. Raises click.ClickException if others could read it, or if it names others."""
    with file.open(encoding="utf-8") as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077:
            raise click.ClickException(
                f"{file} can be read by others: run `chmod 600 {file}`, and remove it afterwards"
            )
        text = opened.read()
    values = _parsed(text, file)
    if unknown := sorted(values.keys() - {each.name for each in found}):
        raise click.ClickException(
            f"{file} names {', '.join(unknown)}; the secrets are {', '.join(each.name for each in found)}"
        )
    names = [each.name for each in wanted]
    if kept := sorted(values.keys() - names):
        click.echo(f"Left as it is: {', '.join(kept)} (--only NAME --replace puts a new value in its place)", err=True)
    return {name: values[name] for name in names if name in values}


def _parsed(text: str, file: Path) -> Mapping[str, str]:
    if text.lstrip().startswith("{"):
        try:
            read = json.loads(text)
        except ValueError as error:
            where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
            raise click.ClickException(f"{file} is no JSON: it breaks in {where}") from None
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in read.items()}
    from dotenv import dotenv_values

    values = dotenv_values(stream=StringIO(text), interpolate=False)
    if wrong := [name for name, value in values.items() if value is None]:
        raise click.ClickException(f"{file}: {len(wrong)} lines are no NAME=value; a value of several lines is quoted")
    return {name: value for name, value in values.items() if value is not None}


def _asked(wanted: Sequence[Slot], environment: str) -> dict[str, str]:
    """The values that a person types; a private key by its file's path. Asks again after a value that can't be right;
    leaves out what the person leaves empty."""
    if not sys.stdin.isatty():
        click.echo("There is no terminal to ask on: give the values with --from FILE.", err=True)
        return {}
    given: dict[str, str] = {}
    for each in wanted:
        while value := _one(each):
            if (wrong := invalid(each.name, value, environment)) is None:
                given[each.name] = value
                break
            click.echo(f"  {wrong}", err=True)
    return given


def _one(slot: Slot) -> str:
    what = f"{slot.name} ({slot.purpose}; Enter leaves it empty)"
    if not slot.name.endswith(PRIVATE_KEY):
        return str(click.prompt(what, hide_input=True, default="", show_default=False, err=True))
    path = click.prompt(f"{what}\n  the key's file", default="", show_default=False, err=True)
    if not path:
        return ""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        click.echo(f"  {path}: {error.strerror}", err=True)
        return _one(slot)


def _show(found: Iterable[Slot], prefix: str) -> None:
    made = table("secret", "state", "what for")
    for each in found:
        state = colored("filled", "green") if each.filled else colored("empty", "red")
        add_row(made, f"{prefix}/{each.name}", state, each.purpose)
    show(made)
