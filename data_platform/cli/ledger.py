"""`data-platform ledger`: writes the ledger anew after it was lost. The options are here; the work is in
`ledger_rebuild`, which is imported when the command runs."""

from __future__ import annotations

import click


@click.group()
def ledger() -> None:
    """Rebuild the ledger of loads and deliveries."""


@ledger.command()
@click.option("--plan", is_flag=True, help="Show what is missing and change nothing.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def rebuild(plan: bool, yes: bool) -> None:
    """Write what the ledger lacks: from the lake's manifests, the receipts, and what is published.

    For a PLATFORM schema that was dropped, or that was restored from a time before the last loads. It creates the
    schema if it is gone. Loads come from the manifests in the lake, deliveries from their receipts, rejects from the
    lake, publications from where they are published. It changes no table of rows, and repairs nothing that the ledger
    has already: run it again if it was cut off.

    It needs a platform at rest: it refuses to work beside a Dagster daemon or a run, and another `data-platform run` on
    this machine waits. Try Snowflake's own way first: `UNDROP SCHEMA PLATFORM` loses nothing.

    Where a raw table is gone too, it names the `data-platform run --reload` that loads its rows again, from the lake.

    \b
    Examples:
      data-platform ledger rebuild --plan
      data-platform ledger rebuild
      data-platform ledger rebuild --yes && data-platform run --no-demo
    """
    from data_platform.cli.ledger_rebuild import rebuild_ledger

    rebuild_ledger(plan=plan, yes=yes)
