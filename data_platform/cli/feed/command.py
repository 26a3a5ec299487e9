"""`data-platform feed`: tries a file against its contract, reads a feed's data again under a changed one, renames and
removes feeds."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from data_platform.cli.project import DAY, declared_feed


@click.group()
def feed() -> None:
    """Try a file against a feed's contract; read its data again under a changed one; rename or remove a feed."""


@feed.command("test")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--feed", "name", metavar="PARTNER/FEED", help="The file's feed. Default: the one whose pattern matches.")
@click.option("--rejects", "limit", type=click.IntRange(0), default=20, show_default=True, help="Maximum rejects.")
def test_(file: Path, name: str | None, limit: int) -> None:
    """Read a local file as its feed would, and load nothing.

    Prints how many rows fit the contract, the rejects with their reasons, and the lines that the contract would need
    for every row to fit. Connects to nothing.

    \b
    Examples:
      data-platform feed test ~/readings_20260308T07-0500.csv
      data-platform feed test sample.csv --feed harbor_water/meter_readings
    Exit codes: 3 the file would be quarantined, or some of its rows would be rejects.
    """
    from data_platform.cli.feed.trial import report_trial

    report_trial(file, name, limit)


@feed.command("re-extract")
@click.argument("name", metavar="SOURCE/TABLE")
@click.option("--from", "first", type=DAY, metavar="DAY", help="Only files of this day, YYYY-MM-DD, and later ones.")
@click.option("--to", "last", type=DAY, metavar="DAY", help="Only files of this day and earlier ones.")
@click.option("--quarantine", is_flag=True, help="Quarantine files that can't be accepted any more, and go on.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def re_extract(name: str, first: datetime | None, last: datetime | None, quarantine: bool, yes: bool) -> None:
    """Read a feed's data again under today's contract, and rebuild its table.

    For a change that ALTER TABLE can't make: a column has another type, or files are read differently. The
    files of loaded deliveries come from the archive; a table of a database is read from the beginning. The new table is
    made beside the old one, and the two are swapped at once. Deliveries, receipts and rejects get the new counts.

    Nothing changes if a file can't be accepted any more: the command names it. With --quarantine, such a file goes to
    quarantine as if it were delivered today: its rows leave the table, and the partner gets a receipt. Files that are
    in quarantine already are not read: see `data-platform deliveries replay`. If the command is interrupted, run it
    again: it finishes the work and reads nothing twice.

    A file's day is its partition's, or else the day on which it landed. After a change of a type, all days have to be
    read again.

    \b
    Examples:
      data-platform feed re-extract harbor_water/meter_readings
      data-platform feed re-extract clear_air/air_quality --from 2026-03-01 --to 2026-03-07
      data-platform feed re-extract city_records/permits --yes
    Exit codes: 3 files can't be accepted under today's contract, and nothing has changed.
    """
    spec = declared_feed(name)
    from data_platform.cli.feed.again import read_again

    read_again(spec, _day(first), _day(last), yes=yes, quarantine=quarantine)


@feed.command()
@click.argument("name", metavar="SOURCE/TABLE")
@click.argument("to", metavar="NEW")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def rename(name: str, to: str, yes: bool) -> None:
    """Give a feed another name. Its rows, ledger, archive and extracts stay.

    Shows a plan first: the files that move, the statements, the YAML, dbt's sources; and the dbt models that read the
    table, with file and line, which you change. A table of a database keeps its name in the database.

    Refuses while a run of the feed is under way. If the command is interrupted, run it again.

    \b
    Examples:
      data-platform feed rename harbor_water/meter_readings readings
      data-platform feed rename city_records/permits building_permits --yes
    """
    from data_platform.cli.change import carry_out
    from data_platform.cli.feed.place import open_place
    from data_platform.cli.feed.rename import renaming

    steps, notes = renaming(open_place(), name, to)
    carry_out(steps, notes, yes=yes)


@feed.command()
@click.argument("name", metavar="SOURCE/TABLE")
@click.option("--delete-files", is_flag=True, help="Also delete its archive, quarantine and extracts.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def remove(name: str, delete_files: bool, yes: bool) -> None:
    """Remove a feed: its table, YAML, dbt source and Dagster's history.

    Shows a plan first. Pending files go to quarantine, each with a receipt. Archived files and extracts are kept unless
    you give --delete-files. The dbt models that read the table are named, with file and line: you change them.

    Refuses while a run of the feed is under way. If the command is interrupted, run it again.

    \b
    Examples:
      data-platform feed remove clear_air/stations
      data-platform feed remove city_records/permits --delete-files
    """
    from data_platform.cli.change import carry_out
    from data_platform.cli.feed.place import open_place
    from data_platform.cli.feed.remove import removal_of_feed

    steps, notes = removal_of_feed(open_place(), name, delete_kept=delete_files)
    carry_out(steps, notes, yes=yes)


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()
