"""`data-platform deliveries`: list deliveries, show one with its rejects, show pending files, replay a file."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from data_platform.cli.output import add_row, colored, console, count, local_time, print_json, show, size, table
from data_platform.cli.project import DEFS, landing_bucket, open_ledger
from data_platform.environment import settings
from data_platform.program import as_typed

if TYPE_CHECKING:
    from data_platform.landing.outcomes import DeliveryRow

STATUSES = ("loaded", "duplicate", "superseded", "quarantined")
_COLORS = {"loaded": "green", "quarantined": "red", "duplicate": "yellow", "superseded": "yellow"}
_AGO = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}
_ID_SHOWN = 12


@click.group()
def deliveries() -> None:
    """List deliveries, show a receipt with its rejects, show pending files, replay a file."""


def since(text: str | None, now: datetime | None = None) -> datetime | None:
    """`36h`, `7d`, `2w` ago, or a day or time in the city's zone. Raises click.BadParameter."""
    if text is None:
        return None
    if match := _AGO.fullmatch(text):
        return (now or datetime.now(UTC)) - timedelta(hours=int(match[1]) * _HOURS[match[2]])
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: expected 36h, 7d, 2w, a day such as 2026-03-08, or a time such as 2026-03-08T06:00",
            param_hint="--since",
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=settings().zone)


@deliveries.command("list")
@click.option("--partner", help="Only this partner's deliveries.")
@click.option("--feed", help="Only this feed's deliveries: its name, or <partner>/<feed>.")
@click.option("--status", type=click.Choice(STATUSES), help="Only deliveries with this outcome.")
@click.option("--since", "since_text", metavar="WHEN", help="Only settled since then: 36h, 7d, 2w, or a day or time.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Maximum rows.")
@click.option("--offset", type=click.IntRange(0), metavar="N", default=0, help="Skip the first N rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def list_(
    partner: str | None,
    feed: str | None,
    status: str | None,
    since_text: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List settled deliveries, latest first.

    \b
    Examples:
      data-platform deliveries list --status quarantined
      data-platform deliveries list --feed harbor_water/meter_readings --since 7d
      data-platform deliveries list --limit 1000 --json | jq -r '.[].file_name'
    """
    if feed is not None and "/" in feed:
        partner, feed = feed.split("/", 1)
    from data_platform.landing.history import list_deliveries

    with open_ledger("deliveries") as (wanted, connection):
        rows = list_deliveries(
            connection,
            wanted.snowflake.database,
            partner=partner,
            feed=feed,
            status=status,  # type: ignore[arg-type]
            since=since(since_text),
            limit=limit + 1,
            offset=offset,
        )
    if as_json:
        print_json([asdict(row) for row in rows[:limit]])
        return
    if not rows:
        _say_if_unknown(partner)
        click.echo(as_typed("No deliveries match. `data-platform deliveries pending` shows the files in inbound."))
        return
    columns = ("delivery", "feed", "file", "status", "rows read", "loaded", "rejects", "landed", "reason")
    made = table(*columns, right=columns[4:7])
    for row in rows[:limit]:
        add_row(
            made,
            row.delivery_id[:_ID_SHOWN],
            f"{row.partner}/{row.feed}",
            row.file_name,
            colored(row.status, _COLORS[row.status]),
            count(row.rows_read),
            count(row.rows_loaded),
            count(row.rows_rejected),
            local_time(row.landed_at, wanted.zone),
            _reason(row),
        )
    show(made)
    if len(rows) > limit:
        click.echo(f"There are more: --offset {offset + limit}")


@deliveries.command("show")
@click.argument("delivery")
@click.option("--rejects", "limit", type=click.IntRange(0), default=20, show_default=True, help="Maximum rejects.")
@click.option("--offset", type=click.IntRange(0), metavar="N", default=0, help="Skip the first N rejects.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def show_(delivery: str, limit: int, offset: int, as_json: bool) -> None:
    """Show a delivery's receipt and its rejects: record number, column, reason and raw text.

    DELIVERY is a delivery's id, the beginning of one, or a file's name.

    \b
    Examples:
      data-platform deliveries show 3f9ac2d81b07
      data-platform deliveries show readings_20260307T07-0500.csv --rejects 100
    """
    from data_platform.cli.deliveries.receipts import find
    from data_platform.landing.history import read_rejects

    with open_ledger("deliveries") as (wanted, connection):
        row = find(connection, wanted.snowflake.database, delivery)
        rejects, total = read_rejects(connection, wanted.snowflake.database, row, limit=limit, offset=offset)
    if as_json:
        print_json({**asdict(row), "rejects": [reject._asdict() for reject in rejects]})
        return
    made = table("receipt", "")
    for name, value in asdict(row).items():
        text = local_time(value, wanted.zone) if isinstance(value, datetime) else str(value)
        add_row(made, name.replace("_", " "), "" if value is None else text)
    show(made)
    if rejects:
        shown = table("record", "column", "reason", "raw text", right=("record",))
        for reject in rejects:
            column = reject.column_name or "(whole record)"
            text = "(personal: in the lake only)" if reject.raw_text is None else reject.raw_text
            add_row(shown, count(reject.record_number), column, reject.reason, text)
        click.echo(f"\nRejects {offset + 1} to {offset + len(rejects)} of {total}:")
        show(shown)
        if offset + len(rejects) < total:
            click.echo(f"There are more: --offset {offset + len(rejects)}")


@deliveries.command()
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Maximum rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, of all files.")
def pending(limit: int, as_json: bool) -> None:
    """Show the files in inbound, and why each has not been loaded.

    \b
    Example:
      data-platform deliveries pending
    """
    from data_platform.cli.deliveries.pending import pending_files

    wanted = settings().require_endpoints().adopt()
    files = pending_files(wanted)
    if as_json:
        print_json([asdict(file) for file in files])
        return
    made = table("file", "size", "landed", "state", "why", right=("size",))
    for file in files[:limit]:
        add_row(made, file.key, size(file.size), local_time(file.landed_at, wanted.zone), file.state, file.why)
    show(made) if files else click.echo("Inbound is empty: every delivery is settled.")
    if len(files) > limit:
        states = Counter(file.state for file in files).most_common()
        click.echo(f"{len(files):,} files: {', '.join(f'{number:,} {state}' for state, number in states)}.")
        click.echo(f"There are more: --limit {len(files)}, or --json")


@deliveries.command()
@click.argument("delivery")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def replay(delivery: str, yes: bool) -> None:
    """Put an archived or quarantined file into inbound again. The next run loads it.

    Content that is already loaded becomes a duplicate and changes nothing. The rows of a superseded file come back. A
    quarantined file is checked against today's contract and limits.

    \b
    Example:
      data-platform deliveries replay 3f9ac2d81b07
    """
    from data_platform.cli.deliveries.receipts import find, put_back, what_replay_does
    from data_platform.lake.shown import visible

    with open_ledger("deliveries") as (wanted, connection):
        row = find(connection, wanted.snowflake.database, delivery)
    bucket = landing_bucket(wanted)
    key = visible(row.object_key)
    console().print(what_replay_does(row), soft_wrap=True)
    if not yes:
        click.confirm(f"Put {key} into inbound again?", abort=True)
    put_back(bucket, row)
    again = as_typed("The landing sensor or `data-platform run --no-demo` loads it.")
    click.echo(f"{key} is in inbound again. {again}")


def _say_if_unknown(partner: str | None) -> None:
    """Says so where no folder of defs/ declares the partner, who may have delivered before it was removed."""
    if partner is None:
        return
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.partners import PartnerDeclaration

    known = [source.name for source in declared_sources(DEFS, PartnerDeclaration)]
    if partner not in known:
        click.echo(f"{partner} is not a partner. The partners are: {', '.join(known)}")


def _reason(row: DeliveryRow) -> str:
    text = " ".join((row.reason or "").split())
    text = text.removeprefix(f"{row.partner}/{row.feed}: ").removeprefix(f"{row.file_name}: ")
    return text if len(text) <= 90 else text[:89] + "…"
