"""`data-platform secrets`: which secrets the platform and its definitions need, and which are missing; `seed` fills
them in (`secrets_seed`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from data_platform.cli.errors import FAILED
from data_platform.cli.output import add_row, colored, print_json, show, table
from data_platform.cli.project import DEFS
from data_platform.environment import Settings, layers, settings
from data_platform.environment.connections import unusable, variable_of

State = Literal["set", "given to runs", "missing", "wrong", "optional"]
_COLORS = {"missing": "red", "wrong": "red", "optional": "yellow"}


@dataclass(frozen=True)
class Secret:
    """A secret: its variable, who needs it, its state, and where it is set or what to do. It never has the value."""

    variable: str
    needed_by: str
    state: State
    what: str

    @property
    def is_missing(self) -> bool:
        """Whether something can't work without it."""
        return self.state in ("missing", "wrong")


@click.group()
def secrets() -> None:
    """List the secrets that the platform needs, and fill them in."""


@secrets.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def check(as_json: bool) -> None:
    """List what each source, publication and system needs, what is missing, and where to set it.

    Reads every defs.yaml and the settings; connects to nothing and shows no value. Exits with 1 if a secret is missing,
    or is of another kind of system than its reader needs. `data-platform doctor` tries the secrets that are set.

    \b
    Examples:
      data-platform secrets check
      data-platform secrets check --json | jq -r '.[] | select(.state == "missing") | .variable'
    """
    found = list(needed(settings()))
    if as_json:
        print_json([asdict(secret) for secret in found])
    else:
        shown = table("secret", "needed by", "state", "where")
        for secret in found:
            color = _COLORS.get(secret.state, "green")
            add_row(shown, secret.variable, secret.needed_by, colored(secret.state, color), secret.what)
        show(shown)
    if any(secret.is_missing for secret in found):
        sys.exit(FAILED)


@secrets.command()
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the values from this file.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Fill only this secret. May be given several times.")
@click.option("--replace", is_flag=True, help="With --only: put a new value in the place of the present one.")
def seed(file: Path | None, only: tuple[str, ...], replace: bool) -> None:
    """Fill the environment's empty secrets in AWS Secrets Manager.

    The stacks make the secrets, without values. The command lists them, asks for the value of each empty one without
    showing it (of a private key: for its file), checks it, and stores it. It reads no value from AWS, and shows names
    only.

    --from takes a file that only you can read (chmod 600): JSON {"NAME": "value"}, or lines NAME=value, where a value
    of several lines is quoted. Nothing is written unless every value passes. Exits with 1 if a secret is still empty.

    \b
    Examples:
      DATA_PLATFORM_ENVIRONMENT=dev data-platform secrets seed
      data-platform secrets seed --from secrets.json && rm secrets.json
      data-platform secrets seed --only snowflake-private-key --replace
    """
    from data_platform.cli.secrets_seed import seed as fill
    from data_platform.landing.client import aws_client

    given = settings()
    if given.environment == "local":
        raise click.ClickException(
            "In `local`, secrets are in .env, and Secrets Manager has none. Set DATA_PLATFORM_ENVIRONMENT=dev (or prod)"
            " and that environment's settings."
        )
    fill(
        aws_client(given, "secretsmanager"),
        f"data-platform-{given.environment}",
        given.environment,
        file,
        only,
        replace=replace,
    )


def needed(given: Settings) -> Iterator[Secret]:
    """Every secret that is needed here: the platform's own, then the connections. Raises DefinitionInvalid."""
    from data_platform.feeds.connections import needed_connections

    places = _places(given)
    yield from _own(given, places)
    for name, readers, system in needed_connections(DEFS):
        variable, who = variable_of(name), ", ".join(readers)
        place = places.get(variable)
        secret = given.connections.get(name)
        url = secret.get_secret_value() if secret else None
        problem = unusable(name, url, who, system, given.environment)
        if url is None and place:
            yield Secret(variable, who, "given to runs", place)
        elif problem is None:
            yield Secret(variable, who, "set", place or "")
        else:
            state: State = "missing" if url is None else "wrong"
            expected = f"expected {system.expected}, such as {system.example}"
            yield Secret(variable, who, state, f"{expected}; {_where_to_set(given, f'connection-{name}')}")


def _own(given: Settings, places: dict[str, str]) -> Iterator[Secret]:
    """The platform's own."""
    from data_platform.cli.secrets_seed import SMOKE_KEY
    from data_platform.feeds.partners import declares_smoke

    for user, who, optional in (
        (given.snowflake, "Snowflake: the loader", False),
        (given.snowflake_dbt, "Snowflake: dbt", False),
        (given.snowflake_reader, "Snowflake: doctor --deep, as the reader", True),
    ):
        variable = user.variable("private_key" if user.private_key_path is None else "private_key_path")
        kept_in = user.variable("private_key").lower().replace("_", "-")
        yield _one(variable, who, given, places, kept_in=kept_in, optional=optional)
    if declares_smoke(DEFS) and given.environment != "local":
        who = "data-platform smoke, as the partner smoke"
        yield _one("SMOKE_PRIVATE_KEY", who, given, places, kept_in=SMOKE_KEY, optional=True)
    yield _one("DAGSTER_POSTGRES_URL", "Dagster's storage", given, places, kept_in="database")
    for code, prefix, what in ((given.code, "CODE", "the code's"), (given.dbt_code, "DBT", "the dbt project's")):
        if code.url is not None:
            who = f"{what} git repository, if it is private"
            yield _one(f"DATA_PLATFORM_{prefix}_TOKEN", who, given, places, kept_in="code-token", optional=True)
    if given.code.url is not None:
        variable, kept_in = "DATA_PLATFORM_CODE_WEBHOOK_SECRET", "code-webhook-secret"
        yield _one(variable, "calls of the git server", given, places, kept_in=kept_in, optional=True)


def _one(
    variable: str,
    who: str,
    given: Settings,
    places: dict[str, str],
    *,
    kept_in: str,
    optional: bool = False,
) -> Secret:
    place = places.get(variable)
    if place is not None:
        return Secret(variable, who, "set", place)
    return Secret(variable, who, "optional" if optional else "missing", _where_to_set(given, kept_in))


def _places(given: Settings) -> dict[str, str]:
    """Where each variable that is set is set: this process's settings first, then those that runs as tasks get."""
    found: dict[str, str] = {}
    for entry in json.loads(given.container_context or "{}").get("ecs", {}).get("secrets", ()):
        found[entry["name"]] = f"in the tasks of runs, from {entry['valueFrom']}"
    for layer in reversed(layers()):
        found |= {name: layer.name for name, value in layer.values.items() if value}
    return found


def _where_to_set(given: Settings, kept_in: str) -> str:
    if given.environment == "local":
        return "set it in .env; of a system that the local cloud has, `data-platform up` sets it"
    return f"`data-platform secrets seed --only {kept_in}` puts it into Secrets Manager; tasks read it when they start"
