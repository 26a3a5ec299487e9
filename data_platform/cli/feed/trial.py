"""`data-platform feed test`: reads a local file as its feed would, and loads nothing."""

from __future__ import annotations

from pathlib import Path

import click

from data_platform.cli.errors import DataProblem
from data_platform.cli.output import add_row, count, show, table
from data_platform.cli.project import declared, declared_feed, of_kind
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.trial import FoundColumn, Trial, try_file


def report_trial(path: Path, name: str | None, limit: int) -> None:
    """Prints what becomes of the file. Raises click.UsageError, and DataProblem if not all of it would be loaded."""
    feed = _feed(path, name)
    trial = try_file(path, feed, rejects=limit)
    good = trial.rows_read - trial.rows_rejected
    click.echo(
        f"{path.name} as {feed.name}: {count(trial.rows_read)} rows read, {count(good)} fit the contract,"
        f" {count(trial.rows_rejected)} rejects"
    )
    if not feed.matches(path.name):
        click.echo(f"Its name doesn't match the feed's pattern, {feed.pattern}: under this name it would not be read.")
    if trial.rejects:
        made = table("record", "column", "reason", "raw text", right=("record",))
        for reject in trial.rejects:
            text = "(personal)" if feed.contract.personal else reject["raw_text"]
            add_row(made, count(reject["record_number"]), reject["column_name"] or "", reject["reason"], text)
        show(made)
    _suggest(feed, trial)
    if trial.refused:
        raise DataProblem(f"The file would be quarantined: {trial.refused}")
    if trial.rows_rejected:
        raise DataProblem(f"{count(trial.rows_rejected)} rows would be rejects; the others would be loaded")
    click.echo("All of it would be loaded.")


def _feed(path: Path, name: str | None) -> FileFeedSpec:
    feeds = of_kind(declared(), FileFeedSpec)
    if name is not None:
        feed = declared_feed(name)
        if not isinstance(feed, FileFeedSpec):
            raise click.UsageError(f"{name} is a table of a database; only partners' feeds have files")
        return feed
    found = [feed for feed in feeds if feed.matches(path.name)]
    if len(found) == 1:
        return found[0]
    of = ", ".join(feed.name for feed in found or feeds)
    raise click.UsageError(
        f"{path.name} matches the pattern of {'several feeds' if found else 'no feed'}; say which is meant with --feed"
        f" <partner>/<feed>: {of}"
    )


def _suggest(feed: FileFeedSpec, trial: Trial) -> None:
    """Prints the lines that the contract would need, where the file doesn't fit it."""
    lines = [
        *(f"{column.yaml}  # not in the contract" for column in trial.found if column.declared is None),
        *(f"{column.yaml}  # the contract says {_says(column)}" for column in trial.found if _differs(column)),
    ]
    if trial.missing:
        click.echo(f"Columns that the file doesn't have, or has no value in: {', '.join(trial.missing)}")
    if lines:
        click.echo("To fit every row of this file, the contract would say:")
        for line in lines:
            click.echo(f"  {line}")


def _differs(column: FoundColumn) -> bool:
    declared = column.declared
    if declared is None:
        return False
    return (column.nulls and not declared.nullable) or column.fits != declared.type != "string"


def _says(column: FoundColumn) -> str:
    assert column.declared is not None  # noqa: S101 - the caller's test
    return column.declared.type + ("" if column.declared.nullable else ", not null")
