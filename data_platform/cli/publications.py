"""`data-platform publications`: list the published datasets, show one's versions, publish the version before again."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from data_platform.cli.output import add_row, console, count, local_time, print_json, show, table
from data_platform.cli.project import DEFS, open_ledger
from data_platform.environment import Settings

if TYPE_CHECKING:
    from data_platform.publish.spec import Dataset


@click.group()
def publications() -> None:
    """List the published datasets, show a dataset's versions, publish the version before again."""


@publications.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def list_(as_json: bool) -> None:
    """List every dataset that was published, as it was published last.

    \b
    Examples:
      data-platform publications list
      data-platform publications list --json | jq -r '.[].url'
    """
    from data_platform.publish.ledger import latest

    with open_ledger("publications") as (wanted, connection), connection.cursor() as cursor:
        records = sorted(latest(cursor, wanted.snowflake.database).values(), key=lambda each: each.dataset)
    if as_json:
        print_json([asdict(each) for each in records])
        return
    if not records:
        click.echo(
            "Nothing is published yet. A dataset is published when its model is built and its checks have passed."
        )
        return
    made = table("dataset", "rows", "version", "outcome", "published", "from", "url", right=("rows",))
    for each in records:
        when = local_time(each.published_at, wanted.zone)
        rows = count(each.rows_published)
        add_row(made, each.dataset, rows, each.version, each.outcome, when, each.source, each.url)
    show(made)


@publications.command("show")
@click.argument("dataset")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def show_(dataset: str, as_json: bool) -> None:
    """Show the versions of a dataset, the latest first: rows, fingerprint, the run and the query that read the mart.

    DATASET is `<target>/<dataset>`.

    \b
    Examples:
      data-platform publications show carto/stations
      data-platform publications show carto/stations --json
    """
    from data_platform.publish.ledger import history

    with open_ledger("publications") as (wanted, connection), connection.cursor() as cursor:
        records = history(cursor, wanted.snowflake.database, dataset)
    if not records:
        raise click.BadParameter(f"{dataset!r} was never published; `data-platform publications list` shows what was")
    if as_json:
        print_json([asdict(each) for each in records])
        return
    made = table(
        "published", "outcome", "version", "rows", "rows before", "run", "query", right=("rows", "rows before")
    )
    for each in records:
        counts = (count(each.rows_published), count(each.rows_before))
        when = local_time(each.recorded_at, wanted.zone)
        add_row(made, when, each.outcome, each.version, *counts, each.run_id[:8], each.query_id)
    show(made)
    console().print(f"\n{records[0].source} as {records[0].url}", soft_wrap=True)


@publications.command()
@click.argument("dataset")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def rollback(dataset: str, yes: bool) -> None:
    """Publish the version before of a dataset again.

    The version that this takes down isn't published again until the rows of its model change. A second rollback brings
    it back.

    \b
    Examples:
      data-platform publications rollback carto/stations
      data-platform publications rollback files/city_daily --yes
    """
    from data_platform.automation.publications import open_target
    from data_platform.publish.publish import roll_back
    from data_platform.resources.lake import LakeResource

    with open_ledger("publications") as (wanted, connection):
        found = _dataset(wanted, dataset)
        if not yes:
            click.confirm(f"Publish the version of {dataset} before the present one again?", abort=True)
        lake = LakeResource(bucket_name=wanted.lake_bucket).lake()
        with open_target(found, lake, click.echo) as target:
            stamp = roll_back(connection, wanted.snowflake.database, found, target, f"cli-{uuid4().hex[:8]}")
    click.echo(f"{dataset} is version {stamp.version} with {count(stamp.rows)} rows again")


def _dataset(wanted: Settings, name: str) -> Dataset:
    """The dataset that is published in this environment. Raises click.BadParameter."""
    from data_platform.automation.registry import published_here

    here = {each.id: each for each in published_here(DEFS, wanted.environment)}
    if name not in here:
        near = difflib.get_close_matches(name, here, n=1)
        hint = f"did you mean {near[0]}?" if near else f"these are: {', '.join(here) or 'none'}"
        raise click.BadParameter(f"{name!r} is not published in {wanted.environment}; {hint}")
    return here[name]
