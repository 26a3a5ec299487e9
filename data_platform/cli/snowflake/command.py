"""`data-platform snowflake`: prepares an account, compares it with what the platform needs, and rotates keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_platform.cli.errors import DATA_PROBLEM
from data_platform.cli.snowflake.administrator import KEY_FILE, require_account, signed_in
from data_platform.cli.snowflake.rotate_key import rotate_key
from data_platform.environment import Settings, settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

    from data_platform.warehouse.bootstrap import Account


@click.group()
def snowflake() -> None:
    """Prepare a Snowflake account, and rotate its users' keys."""


snowflake.add_command(rotate_key)


@snowflake.command()
@click.option("--admin", metavar="USER", help="The administrator to sign in as; needs ACCOUNTADMIN.")
@click.option("--admin-key", type=KEY_FILE, help="The administrator's private key (PEM).")
@click.option("--aws-role", metavar="ARN", required=True, help="The AWS role by which Snowflake reads the lake.")
@click.option("--credits", type=click.IntRange(1), default=100, show_default=True, help="The month's credits.")
@click.option("--sql", is_flag=True, help="Print the statements and run nothing.")
@click.option("--check", is_flag=True, help="Run nothing; report differences. Exits with 3 if there are any.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def bootstrap(
    admin: str | None, admin_key: Path | None, aws_role: str, credits: int, sql: bool, check: bool, yes: bool
) -> None:
    """Create what the platform needs in a Snowflake account, and let it read the lake.

    Three users with a role each (loader, dbt, reader), warehouse, resource monitor, database, grants, storage
    integration and stage, named as the settings name them. Then the trust policy of the AWS role, with this machine's
    AWS credentials, which need iam:GetRole and iam:UpdateAssumeRolePolicy on it; and a test that Snowflake lists the
    stage. Shows statements and the policy's changes first. Running it again is safe and repairs what is missing. It
    drops and revokes nothing: --check names what a role may do that it must not.

    \b
    Examples:
      data-platform snowflake bootstrap --aws-role ARN --sql
      data-platform snowflake bootstrap --admin ALICE --admin-key alice.p8 --aws-role ARN
      data-platform snowflake bootstrap --admin ALICE --admin-key alice.p8 --aws-role ARN --check
    """
    from data_platform.warehouse.bootstrap import Account, existing_raw_schemas, statements

    given = settings()
    wanted = Account.of(given, aws_role_arn=aws_role, credits=credits)
    if sql:
        for statement in statements(wanted):
            click.echo(f"{statement};")
        return
    require_account(given)
    if admin is None or admin_key is None:
        raise click.UsageError("--admin and --admin-key are needed: the platform's users may not create roles")
    with signed_in(given, admin, admin_key, "ACCOUNTADMIN") as cursor:
        if check:
            differences = list(_differences(given, cursor, wanted))
            for difference in differences:
                click.echo(difference)
            click.echo(f"{given.snowflake.account}: {len(differences)} differences")
            sys.exit(DATA_PROBLEM if differences else 0)
        planned = list(statements(wanted, existing_raw_schemas(cursor, wanted)))
        for statement in planned:
            click.echo(f"{statement};")
        if not yes:
            click.confirm(f"Run these statements in {given.snowflake.account} as {admin}?", abort=True)
        for statement in planned:
            cursor.execute(statement)
        _let_snowflake_in(given, cursor, wanted, yes)
    click.echo(f"{given.snowflake.account} is ready. `data-platform snowflake rotate-key` gives users their keys.")


def _let_snowflake_in(given: Settings, cursor: DictCursor, wanted: Account, yes: bool) -> None:
    """Makes the AWS role trust the integration, and waits until Snowflake can list the stage."""
    from data_platform.cli.snowflake import trust

    iam = _iam(given)
    policy = _wanted_policy(cursor, wanted)
    diff = trust.policy_diff(_present_policy(iam, wanted, policy), policy)
    if diff:
        click.echo(f"The trust policy of {wanted.aws_role_arn}:")
        for line in diff:
            click.echo(line)
        if not yes:
            click.confirm("Change it?", abort=True)
        trust.set_policy(iam, wanted.aws_role_arn, policy)
    for reason in trust.list_with_patience(cursor, wanted):
        click.echo(f"not yet: {reason}")
    click.echo("Snowflake lists the lake's stage.")


def _differences(given: Settings, cursor: DictCursor, wanted: Account) -> Iterator[str]:
    """Snowflake's, then those of the trust policy, then whether the stage can be listed."""
    from snowflake.connector import ProgrammingError

    from data_platform.cli.snowflake import trust
    from data_platform.warehouse.account_drift import drift
    from data_platform.warehouse.bootstrap import list_stage

    yield from drift(cursor, wanted)
    try:
        policy = _wanted_policy(cursor, wanted)
        list_stage(cursor, wanted)
    except ProgrammingError as refused:
        yield f"Snowflake can't list the lake's stage: {str(refused.msg).strip().splitlines()[0]}"
        return
    finally:
        cursor.execute("USE ROLE ACCOUNTADMIN")
    if diff := trust.policy_diff(_present_policy(_iam(given), wanted, policy), policy):
        yield "\n".join([f"the trust policy of {wanted.aws_role_arn} is not the integration's:", *diff])


def _wanted_policy(cursor: DictCursor, wanted: Account) -> dict[str, Any]:
    from data_platform.cli.snowflake.trust import trust_policy
    from data_platform.warehouse.bootstrap import integration_identity

    cursor.execute("USE ROLE ACCOUNTADMIN")
    return trust_policy(*integration_identity(cursor, wanted))


def _present_policy(iam: Any, wanted: Account, policy: dict[str, Any]) -> dict[str, Any]:
    """The role's trust policy. Raises click.ClickException, which shows the wanted policy, if AWS refuses."""
    import json

    from botocore.exceptions import BotoCoreError, ClientError

    from data_platform.cli.snowflake.trust import present_policy

    try:
        return present_policy(iam, wanted.aws_role_arn)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(
            f"AWS doesn't show the role {wanted.aws_role_arn}: {error}\nSign in to AWS as an administrator and run this"
            f" again, or give the role this trust policy:\n{json.dumps(policy, indent=2)}"
        ) from None


def _iam(given: Settings) -> Any:
    from data_platform.landing.client import aws_client

    return aws_client(given, "iam")
