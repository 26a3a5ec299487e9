"""`data-platform partner`: removes a partner. The steps are in `feed.remove_partner`."""

from __future__ import annotations

import click


@click.group()
def partner() -> None:
    """Remove a partner with all its feeds."""


@partner.command()
@click.argument("name")
@click.option("--delete-files", is_flag=True, help="Also delete the feeds' archives, quarantine and extracts.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def remove(name: str, delete_files: bool, yes: bool) -> None:
    """Remove a partner: its SFTP user, and all its feeds as `feed remove` does.

    Shows a plan first. The SFTP user goes first, with its keys, by AWS Transfer's API (in `local`, the stand-in's). All
    files that are pending go to quarantine, each with a receipt. If the command is interrupted, run it again.

    \b
    Examples:
      data-platform partner remove clear_air
      data-platform partner remove clear_air --delete-files
    """
    from data_platform.cli.change import carry_out
    from data_platform.cli.feed.place import open_place
    from data_platform.cli.feed.remove_partner import removal_of_partner

    steps, notes = removal_of_partner(open_place(), name, delete_kept=delete_files)
    carry_out(steps, notes, yes=yes)
