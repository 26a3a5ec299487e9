"""`data-platform env`: the platform's settings for a shell."""

from __future__ import annotations

import shlex

import click
from pydantic import SecretStr

from data_platform.environment import each_setting, settings


@click.command()
@click.option("--with-secrets", is_flag=True, help="Print secrets too: keys, passphrases, the database's URL.")
def env(with_secrets: bool) -> None:
    """Print the settings as a shell's export lines.

    Without --with-secrets it prints only names, paths and endpoints.

    \b
    Examples:
      data-platform env
      eval "$(data-platform env --with-secrets)"     then aws, snow and psql use the same settings
    """
    left_out = []
    for variable, _, value, secret in each_setting(settings()):
        if value is None:
            continue
        if secret and not with_secrets:
            left_out.append(variable)
            continue
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        click.echo(f"export {variable}={shlex.quote(text)}")
    if left_out:
        click.echo(f"# secret, left out (print them with --with-secrets): {', '.join(left_out)}", err=True)
    elif with_secrets:
        click.echo("# contains secrets: don't write it to a log, or to a file that others can read", err=True)
