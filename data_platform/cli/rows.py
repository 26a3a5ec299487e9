"""`data-platform sql` and `preview`: rows of Snowflake, to look at."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from data_platform.cli.output import add_row, amount, count, print_json, show, table
from data_platform.cli.project import DBT_PROJECT, declared
from data_platform.environment import Settings, settings

if TYPE_CHECKING:
    from data_platform.feeds.spec import FeedSpec

_CELL = 60
_ASSET = re.compile(r"[a-z_][a-z0-9_]*(/[a-z_][a-z0-9_]*){1,2}")


@click.command()
@click.argument("query")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Maximum rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def sql(query: str, limit: int, as_json: bool) -> None:
    """Show the rows of a query.

    It reads only: the command takes one SELECT, refuses anything else before it connects, and runs the query in a
    transaction that it rolls back. It signs in as the loader, which sees raw tables, the ledger and marts. Nothing is
    masked: whoever has the loader's key reads personal columns too.

    \b
    Examples:
      data-platform sql "select * from marts.city_daily order by local_day"
      data-platform sql "select count(*) from raw_harbor_water.meter_readings" --json
    """
    from data_platform.warehouse.read_only import NotReadOnly, require_read_only

    try:
        require_read_only(query)
    except NotReadOnly as error:
        raise click.UsageError(str(error)) from None
    _print(*_fetched(settings().require_endpoints(), query, limit), limit=limit, as_json=as_json)


@click.command()
@click.argument("asset")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Maximum rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def preview(asset: str, limit: int, as_json: bool) -> None:
    """Show some rows of a table, given as Dagster's UI names it. Personal columns are masked, also those of dbt models
    that are made of personal columns.

    \b
    Examples:
      data-platform preview raw/harbor_water/meter_readings
      data-platform preview marts/city_daily --limit 3
    """
    if not _ASSET.fullmatch(asset):
        raise click.BadParameter(
            f"{asset!r}: expected, for example, raw/harbor_water/meter_readings or marts/city_daily"
        )
    wanted = settings().require_endpoints()
    feeds = {f"raw/{feed.name}": feed for feed in declared()}
    *folders, name = asset.split("/")
    if asset.startswith("raw/") and asset not in feeds:
        raise click.BadParameter(f"{asset!r} is no feed's table; expected one of {', '.join(feeds)}")
    hidden = feeds[asset].contract.personal if asset in feeds else _personal(wanted, name, list(feeds.values()))
    relation = ".".join(f'"{part.upper()}"' for part in (wanted.snowflake.database, "_".join(folders), name))
    reader = wanted if asset in feeds else wanted.as_dbt()  # the loader sees no models but marts
    columns, rows = _previewed(reader, asset, relation, limit)
    hidden_at = {place for place, column in enumerate(columns) if column.lower() in hidden}
    masked = [["•••" if place in hidden_at else value for place, value in enumerate(row)] for row in rows]
    _print(columns, masked, limit=limit, as_json=as_json)


def _previewed(wanted: Settings, asset: str, relation: str, limit: int) -> tuple[list[str], list[Sequence[Any]]]:
    """The table's columns and rows. Raises click.ClickException if there is no such table yet."""
    from data_platform.warehouse.table import DOES_NOT_EXIST

    try:
        return _fetched(wanted, f"SELECT * FROM {relation}", limit)
    except Exception as error:
        if getattr(error, "errno", None) not in DOES_NOT_EXIST:
            raise
        raise click.ClickException(f"{asset} has no table yet: nothing has been loaded or built.") from None


def _personal(wanted: Settings, model: str, feeds: Sequence[FeedSpec]) -> set[str]:
    """The model's columns that are made of personal columns. Raises click.ClickException if that isn't known."""
    from data_platform.transform.lineage import Lineage

    personal = [(feed.name, column) for feed in feeds for column in feed.contract.personal]
    if not personal:
        return set()
    lineage = Lineage(wanted.dbt_code.project_dir or DBT_PROJECT, feeds)
    found = {name for feed, column in personal for name in lineage.readers(feed, column).get(model, ())}
    if model not in {each.name for each in lineage.models()}:
        raise click.ClickException(
            f"The platform can't tell which columns of {model} come from personal ones, so it shows none."
            " `data-platform sql` shows all"
        )
    return found


def _fetched(wanted: Settings, query: str, limit: int) -> tuple[list[str], list[Sequence[Any]]]:
    """The query's columns, and its rows: one more than `limit` if there are more."""
    from data_platform.cli.connector import import_connector

    import_connector()
    from data_platform.warehouse.connection import connect

    with connect(wanted, query_tag="data-platform sql") as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(query)
            columns = [column.name for column in cursor.description or ()]
            return columns, list(cursor.fetchmany(limit + 1))
        finally:
            cursor.execute("ROLLBACK")


def _print(columns: Collection[str], rows: Sequence[Sequence[Any]], *, limit: int, as_json: bool) -> None:
    shown = rows[:limit]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in shown])
        return
    numbers = [name for place, name in enumerate(columns) if _are_numbers(row[place] for row in shown)]
    made = table(*columns, right=numbers)
    for row in shown:
        add_row(made, *(_cell(value) for value in row))
    show(made)
    more = ", and there are more: --limit" if len(rows) > limit else ""
    click.echo(f"{count(len(shown))} row{'' if len(shown) == 1 else 's'}{more}")


def _are_numbers(values: Iterable[Any]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) or hasattr(value, "as_tuple") for value in given)


def _cell(value: Any) -> str:
    text = "" if value is None else value.hex() if isinstance(value, bytes | bytearray) else amount(value)
    return text if len(text) <= _CELL else text[:_CELL] + "…"
