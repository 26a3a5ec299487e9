"""`data-platform schema`: shows and runs the statements that make Snowflake's tables match their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from data_platform.cli.errors import DataProblem
from data_platform.cli.project import DEFS
from data_platform.environment import settings
from data_platform.program import as_typed

if TYPE_CHECKING:
    from data_platform.feeds.spec import FeedSpec
    from data_platform.warehouse.schema import SchemaPlan


@click.group()
def schema() -> None:
    """Plan and apply changes of Snowflake's tables.

    Loading a delivery changes its table to match the contract. With these commands you see the changes first, with the
    dbt models that read a column that goes, and make them without a delivery. They refuse a change that could lose
    data, and say what to do instead (exit code 3).
    """


@schema.command()
@click.argument("feeds", nargs=-1)
def plan(feeds: tuple[str, ...]) -> None:
    """Show what `apply` would run.

    These are the statements that make tables match their contracts. For a column that the contract no longer has, the
    command also names the dbt models that read it. FEEDS are <source>/<table>; default: all.

    \b
    Examples:
      data-platform schema plan
      data-platform schema plan harbor_water/meter_readings
    """
    plans = _plans(feeds)
    _show(plans)
    _raise_refusals(plans)


@schema.command()
@click.argument("feeds", nargs=-1)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--drop-removed", is_flag=True, help="Drop the columns that the contracts of FEEDS no longer have.")
def apply(feeds: tuple[str, ...], yes: bool, drop_removed: bool) -> None:
    """Change tables to match their contracts.

    Also creates the platform's own schema, or brings it to this release by its migrations: run this after each deploy.
    FEEDS are <source>/<table>; default: all.

    \b
    Examples:
      data-platform schema apply
      data-platform schema apply clear_air/stations --yes
      data-platform schema apply clear_air/stations --drop-removed
    """
    if drop_removed and not feeds:
        raise click.UsageError("--drop-removed drops columns with their values: name the FEEDS")
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform
    from data_platform.warehouse.retired import revive
    from data_platform.warehouse.schema import apply_schema

    plans = _plans(feeds, drop_removed=drop_removed)
    _show(plans)
    wanted = settings()
    due = [plan for plan in plans if plan.changes and not plan.refusals]
    if due and not yes:
        statements = sum(len(plan.changes) for plan in due)
        click.confirm(f"Run these {statements} statements in {wanted.snowflake.account}?", abort=True)
    with connect(wanted, query_tag="data-platform schema apply") as connection:
        ran = ensure_platform(
            connection,
            wanted.snowflake.database,
            wanted.lake_bucket,
            migrations=MIGRATIONS,
            storage_integration=wanted.snowflake.storage_integration,
        )
        for migration in ran:
            click.echo(f"{wanted.snowflake.database}.PLATFORM: ran migration {migration.number}, {migration.name}")
        with connection.cursor() as cursor:
            revive(cursor, wanted.snowflake.database, [(feed.source, feed.table) for feed in _feeds(feeds)])
        for plan in due:
            apply_schema(connection, plan)
            click.echo(f"{plan.table} matches its contract")
    _raise_refusals(plans)


def _plans(names: tuple[str, ...], *, drop_removed: bool = False) -> list[SchemaPlan]:
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.further_columns import with_drift
    from data_platform.warehouse.schema import count_nulls, plan_changes, read_columns
    from data_platform.warehouse.table import raw_table

    wanted = settings().require_endpoints()
    plans = []
    with connect(wanted, query_tag="data-platform schema plan") as connection:
        for feed in _feeds(names):
            table = raw_table(wanted.snowflake.database, feed.source, feed.table)
            there = read_columns(connection, table)
            columns = feed.with_contract(with_drift(feed.contract, there)).table_columns
            nulls = count_nulls(connection, table, there, columns)
            plans.append(plan_changes(table, there, columns, nulls=nulls, drop_removed=drop_removed))
    return plans


def _feeds(names: tuple[str, ...]) -> list[FeedSpec]:
    """The declared feeds of these names. Raises click.BadParameter."""
    from data_platform.feeds.declared import declared_feeds

    declared = {feed.name: feed for feed in declared_feeds(DEFS)}
    unknown = [name for name in names if name not in declared]
    if unknown:
        raise click.BadParameter(f"unknown feed: {', '.join(unknown)}; the feeds are {', '.join(declared)}")
    return [declared[name] for name in names or declared]


def _show(plans: list[SchemaPlan]) -> None:
    affected = any(plan.removed or plan.renamed for plan in plans)
    readers = _readers(plans) if affected else {}
    for plan in plans:
        if plan.refusals:
            click.echo(f"-- {plan.table}: refused")
            for refusal in plan.refusals:
                click.echo(as_typed(refusal))
        elif not plan.changes:
            click.echo(f"-- {plan.table}: {'nothing to run' if plan.notes else 'matches its contract'}")
        else:
            click.echo(f"-- {plan.table}")
            for change in plan.changes:
                click.echo(f"{change.sql};  -- {change.reason}")
        for note in plan.notes:
            click.echo(as_typed(f"--   {note}"))
        for line in readers.get(plan.feed, ()):
            click.echo(f"--   {line}")


def _readers(plans: list[SchemaPlan]) -> dict[str, list[str]]:
    """By feed, a line for each column that goes or is renamed: the dbt models that read it."""
    from data_platform.cli.project import DBT_PROJECT, declared
    from data_platform.transform.lineage import Lineage

    project = settings().dbt_code.project_dir or DBT_PROJECT
    if not project.exists():
        return {}
    lineage = Lineage(project, declared(), {plan.feed: (*plan.removed, *plan.renamed) for plan in plans})
    found: dict[str, list[str]] = {}
    for plan in plans:
        for column in (*plan.renamed, *plan.removed):
            models = [
                f"{model} ({', '.join(made) or 'as a filter or join'})"
                for model, made in lineage.readers(plan.feed, column).items()
            ]
            told = f"dbt models that read it: {', '.join(models)}" if models else "no dbt model reads it"
            found.setdefault(plan.feed, []).append(f"{column.upper()}: {told}")
    if lineage.unread:
        for lines in found.values():
            lines.append(
                f"perhaps also these dbt models, whose SQL only dbt can parse: {', '.join(sorted(lineage.unread))}"
            )
    return found


def _raise_refusals(plans: list[SchemaPlan]) -> None:
    refused = [str(plan.table) for plan in plans if plan.refusals]
    if refused:
        raise DataProblem(f"{', '.join(refused)} can't be changed to match the contract; see above what to do instead")
