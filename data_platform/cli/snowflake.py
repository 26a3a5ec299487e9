"""`data-platform snowflake`: prepares an account, and compares it with what the platform needs. The statements are in
`warehouse.bootstrap`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from data_platform.environment import settings

KEY_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def snowflake() -> None:
    """Prepare a Snowflake account."""


@snowflake.command()
@click.option("--admin", metavar="USER", help="The administrator to sign in as; needs ACCOUNTADMIN.")
@click.option("--admin-key", type=KEY_FILE, help="The administrator's private key (PEM).")
@click.option("--public-key", type=KEY_FILE, required=True, help="The service user's public key (PEM).")
@click.option("--next-public-key", type=KEY_FILE, help="During a rotation: the key that replaces it.")
@click.option("--aws-role", metavar="ARN", required=True, help="The AWS role that may read the lake's extracts.")
@click.option("--external-id", required=True, help="The external id that this role's trust expects.")
@click.option("--credits", type=click.IntRange(1), default=100, show_default=True, help="The month's credits.")
@click.option("--sql", is_flag=True, help="Print the statements and run nothing.")
@click.option("--check", is_flag=True, help="Run nothing; report differences. Exits with 3 if there are any.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def bootstrap(
    admin: str | None,
    admin_key: Path | None,
    public_key: Path,
    next_public_key: Path | None,
    aws_role: str,
    external_id: str,
    credits: int,
    sql: bool,
    check: bool,
    yes: bool,
) -> None:
    """Create what the platform needs in a Snowflake account.

    Roles, the service user, warehouse, resource monitor, database, grants and the storage integration, named as the
    settings name them. Shows the statements first; running it again is safe and repairs differences. It drops nothing.
    At the end it prints the AWS user that the role must trust.

    To rotate the key: run it with --next-public-key, give runs the new private key, then run it with the new key as
    --public-key. Both keys work in between.

    \b
    Examples:
      data-platform snowflake bootstrap --public-key key.pub --aws-role ARN --external-id ID --sql
      data-platform snowflake bootstrap --admin ALICE --admin-key alice.p8 --public-key key.pub --aws-role ARN ...
      data-platform snowflake bootstrap --check --admin ALICE --admin-key alice.p8 --public-key key.pub ...
    """
    from data_platform.warehouse.bootstrap import Account, drift, public_key_of, statements, trust

    given = settings()
    wanted = Account.of(
        given,
        aws_role_arn=aws_role,
        external_id=external_id,
        public_key=public_key_of(public_key.read_bytes()),
        next_public_key=public_key_of(next_public_key.read_bytes()) if next_public_key else None,
        credits=credits,
    )
    if not check:
        for statement in statements(wanted):
            click.echo(f"{statement};")
        if sql:
            return
    if given.environment == "local":
        raise click.ClickException(
            "The local Snowflake has no roles, users or integrations. Set DATA_PLATFORM_ENVIRONMENT=dev and the"
            " account's settings, or use --sql to see the statements."
        )
    if admin is None or admin_key is None:
        raise click.UsageError("--admin and --admin-key are needed: the service user may not create roles")
    if not check and not yes:
        click.confirm(f"Run these statements in {given.snowflake.account} as {admin}?", abort=True)
    from snowflake.connector import DictCursor

    from data_platform.warehouse.connection import connect_as

    with connect_as(given, admin, admin_key) as connection, connection.cursor(DictCursor) as cursor:
        if check:
            differences = list(drift(cursor, wanted))
            for difference in differences:
                click.echo(difference)
            click.echo(f"{given.snowflake.account}: {len(differences)} differences")
            sys.exit(3 if differences else 0)
        for statement in statements(wanted):
            cursor.execute(statement)
        user, _ = trust(cursor, wanted)
    click.echo(
        f"{given.snowflake.account} is ready. Put this into deploy/environments/, and deploy the snowflake stack:"
    )
    click.echo(f"  trusted_user_arn: {user}")
