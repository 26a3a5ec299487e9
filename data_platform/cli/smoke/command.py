"""`data-platform smoke`: the options. What it delivers is in `declaration`, what it follows in `probe`, what it removes
in `cleanup`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--init", is_flag=True, help="Write the partner, feed and model that the test needs, and stop.")
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --init: the OpenSSH public key of the partner `smoke`. `local` needs none.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The partner's private key [default: SMOKE_PRIVATE_KEY; in `local`, that of the local cloud].",
)
@click.option("--host", help="The SFTP server [default: SFTP_HOST].")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port [default: SFTP_PORT].")
@click.option("--minutes", type=click.IntRange(1), default=15, show_default=True, help="Give up after so long.")
@click.option("--clean", is_flag=True, help="Only remove what earlier tests have left.")
def smoke(
    init: bool,
    public_key: Path | None,
    key: Path | None,
    host: str | None,
    port: int | None,
    minutes: int,
    clean: bool,
) -> None:
    """Deliver a file by SFTP, follow it to a table and a model, and remove it again.

    The file has a few rows and one that breaks its contract. The command signs in as the partner `smoke`, and follows
    the file: inbound, lake, table, rejects, receipt, archive, model. Only this partner's feed `probe` is used, and
    nothing reads it but its model, so no other data changes. At the end, also after a failure or Ctrl-C, it removes the
    rows, the ledger's records, the extract, the receipts and the file; Dagster's history of the runs stays. What a
    killed test left is removed by the next one.

    A deployment's sensors pick up the file, as they do any other. In `local`, without a daemon, the command executes
    the runs itself. It asks SFTP, the buckets and Snowflake (as the loader, and as dbt for the model), so it runs
    wherever these can be reached. `deploy/release` ends with it, as a task.

    \b
    Examples:
      data-platform smoke --init && data-platform up && data-platform smoke
      data-platform smoke --init --public-key smoke_key.pub        for a deployment: see docs/upgrade.md
      data-platform smoke --host sftp.example.org --key smoke_key --minutes 30
      data-platform smoke --clean
    """
    if public_key and not init:
        raise click.UsageError("--public-key is for --init")
    if init:
        from data_platform.cli.smoke.declaration import declare

        declare(public_key)
        return
    from data_platform.cli.smoke.steps import run_test

    run_test(key=key, host=host, port=port, seconds=60 * minutes, only_clean=clean)
