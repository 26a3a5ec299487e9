"""Creates an environment, or goes on where an attempt failed: `python -m deploy.bootstrap dev --admin ALICE --admin-key
alice.p8`. It is a list of commands that a person can also run by hand, in this order. Each may run any number of times,
so there is no state to lose: what is done changes nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from data_platform.cli.secrets_seed import slots
from deploy.environment import NAME, Environment, named

ROOT = Path(__file__).parents[1]
CDK = ("npx", "--yes", "aws-cdk@2.1148.1")
IMAGE = "$IMAGE"
"""In a command: the digest of the image, which the step before it has pushed."""
KEYS = {
    "loader": "snowflake-private-key",
    "dbt": "snowflake-dbt-private-key",
    "reader": "snowflake-reader-private-key",
}
"""The secret of each of Snowflake's users."""

Run = Callable[[Sequence[str], Path, Mapping[str, str]], int]
"""Runs a command in a folder, with these variables and those of this process. Returns its exit code."""


class BootstrapFailed(click.ClickException):
    """A step failed; the message names it, its command, and how to go on."""


class Step(NamedTuple):
    """A command. `fills`: the secret that it gives a value; it is skipped if the secret has one. `pushes`: it prints
    the image's digest."""

    what: str
    command: tuple[str, ...]
    folder: Path = ROOT
    fills: str | None = None
    pushes: bool = False

    def shown(self) -> str:
        """The command as a person types it."""
        place = "" if self.folder == ROOT else f"cd {self.folder.relative_to(ROOT)} && "
        return place + " ".join(part if part == IMAGE else shlex.quote(part) for part in self.command)


def steps(given: Environment, admin: str, admin_key: Path, image: str | None = None) -> Iterator[Step]:
    """All steps, in order. `image`: the digest to deploy, which is pushed already; None builds this commit."""
    platform = str(Path(sys.executable).with_name("data-platform"))
    admins = ("--admin", admin, "--admin-key", str(admin_key.absolute()))
    account = f"aws://{given.account}/{given.region}"

    def stacks(*purposes: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
        names = [f"{given.prefix}-{purpose}" for purpose in purposes]
        return (*CDK, "deploy", *names, "--require-approval", "never", *options)

    def operate(*command: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "deploy.operate", given.name, *command)

    deploy = ROOT / "deploy"
    yield Step(
        "Prepare the account for CDK: its bucket, and the roles that deploy this environment",
        (*CDK, "bootstrap", account, "--qualifier", given.qualifier, "--toolkit-stack-name", f"{given.prefix}-cdk"),
        deploy,
    )
    yield Step("Create GitHub's role, and the image repository", stacks("pipeline"), deploy)
    if image is None:
        yield Step("Build this commit's image and push it", ("deploy/push-image",), pushes=True)
    foundation = ("storage", "network", "secrets", "database", "roles", "snowflake")
    yield Step("Create what the services need", stacks(*foundation), deploy)
    yield Step(
        "Create Snowflake's users, roles, warehouse, database and integration, and let it read the lake",
        (platform, "snowflake", "bootstrap", *admins, "--aws-role", given.role_arn("snowflake"), "--yes"),
    )
    for user, secret in KEYS.items():
        yield Step(
            f"Give Snowflake's user for {user} its key",
            (
                platform,
                "snowflake",
                "rotate-key",
                user,
                "begin",
                *admins,
                "--secret",
                f"{given.prefix}/{secret}",
                "--yes",
            ),
            fills=secret,
        )
    yield Step("Fill in the other secrets, which it asks for", (platform, "secrets", "seed"))
    with_image = ("--context", f"image={image or IMAGE}")
    yield Step("Create the cluster, where one-off tasks run", stacks("cluster", options=with_image), deploy)
    yield Step("Bring Dagster's tables to this release", operate("dagster", "instance", "migrate"))
    yield Step("Create the platform's tables", operate("data-platform", "schema", "apply", "--yes"))
    others = ("services", "access", "sftp", "observability")
    yield Step("Start the services, let people and partners in, and watch", stacks(*others, options=with_image), deploy)
    yield Step("Prove connections, rights and a run's task", operate("data-platform", "doctor", "--deep"))


def check(given: Environment, sts: Any, image: str | None) -> None:
    """Raises BootstrapFailed unless this machine is signed in to the environment's account and has the programs."""
    try:
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise BootstrapFailed(
            f"AWS doesn't know who you are: {error}. Sign in to account {given.account} first"
        ) from None
    if identity["Account"] != given.account:
        raise BootstrapFailed(
            f"You are signed in to account {identity['Account']} as {identity['Arn']}, but"
            f" deploy/environments/{given.name}.yaml has account {given.account}: sign in there, or correct the file"
        )
    if image is None and not given.creates_image_repository:
        raise BootstrapFailed(
            f"{given.name} deploys the image that another environment has built: give its digest with --image"
        )
    needed = ("npx", *(() if image else ("git", "aws", "docker")))
    if missing := [program for program in needed if shutil.which(program) is None]:
        raise BootstrapFailed(f"not installed here: {', '.join(missing)}; see deploy/README.md")


def carry_out(given: Environment, wanted: Sequence[Step], manager: Any, run: Run) -> None:
    """Runs the steps in order. Raises BootstrapFailed at the first that fails: nothing after it has run.
    `manager`: boto3's client of Secrets Manager."""
    variables = {**given.variables, "AWS_DEFAULT_REGION": given.region}
    image = ""
    for number, step in enumerate(wanted, start=1):
        click.secho(f"\n[{number}/{len(wanted)}] {step.what}", bold=True)
        if step.fills and any(each.filled for each in slots(manager, given.prefix) if each.name == step.fills):
            click.echo(f"{given.prefix}/{step.fills} has a value: nothing to do")
            continue
        step = step._replace(command=tuple(part.replace(IMAGE, image) for part in step.command))
        click.echo(f"$ {step.shown()}")
        with tempfile.NamedTemporaryFile("r") as output:
            repository = f"{given.image_account}.dkr.ecr.{given.region}.amazonaws.com/{given.image_repository}"
            pushing = {"REPOSITORY": repository, "GITHUB_OUTPUT": output.name} if step.pushes else {}
            code = run(step.command, step.folder, {**variables, **pushing})
            image = output.read().strip().removeprefix("digest=") if step.pushes else image
        if code:
            raise BootstrapFailed(
                f"Step {number} of {len(wanted)} failed with exit code {code}: {step.what}.\n  {step.shown()}\n"
                "Its output above says why. Mend that, and run this command again: it goes through all steps, and those"
                " that are done change nothing."
            )


def run_here(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
    """Runs it with this terminal. Returns its exit code; 127 if there is no such program."""
    try:
        return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False).returncode
    except FileNotFoundError:
        return 127


@click.command()
@click.argument("environment", type=NAME)
@click.option("--admin", metavar="USER", required=True, help="Snowflake's administrator; needs ACCOUNTADMIN.")
@click.option(
    "--admin-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The administrator's private key (PEM).",
)
@click.option("--image", metavar="DIGEST", help="Deploy this image, for example the one that ran in dev: sha256:...")
@click.option("--plan", is_flag=True, help="Show the steps and do nothing.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def main(environment: str, admin: str, admin_key: Path, image: str | None, plan: bool, yes: bool) -> None:
    """Create ENVIRONMENT in an empty AWS and Snowflake account.

    Shows the steps first and asks. If one fails, mend the cause and run the same command again.

    \b
    Examples:
      python -m deploy.bootstrap dev --admin ALICE --admin-key alice.p8 --plan
      python -m deploy.bootstrap dev --admin ALICE --admin-key alice.p8
      python -m deploy.bootstrap prod --admin ALICE --admin-key alice.p8 --image sha256:...
    """
    given = named(environment)
    wanted = list(steps(given, admin, admin_key, image))
    click.echo(f"{given.name}: account {given.account}, {given.region}, Snowflake {given.snowflake.account}\n")
    for number, step in enumerate(wanted, start=1):
        click.echo(f"{number:3}. {step.what}\n     $ {step.shown()}")
    if plan:
        return
    session = boto3.Session(region_name=given.region)
    check(given, session.client("sts"), image)
    if not yes:
        click.confirm(f"\nCarry out these {len(wanted)} steps? From then on {given.name} costs money", abort=True)
    carry_out(given, wanted, session.client("secretsmanager"), run_here)
    click.echo(
        f"\n{given.name} runs. Point the hosts (CNAME) at the addresses that the stacks access and sftp printed."
    )


if __name__ == "__main__":
    main()
