"""`data-platform run`: loads delivered files, builds the models, and accounts for every file and row.

The options are here; the steps are in `steps`, which is imported when the command runs: Dagster takes a second.
"""

from __future__ import annotations

import time
from datetime import datetime

import click

from data_platform.cli.project import DAY, DEMO
from data_platform.environment import settings


@click.command()
@click.option("--select", metavar="SELECTION", help="Make only these assets, in Dagster's selection syntax.")
@click.option("--partition", metavar="DAY", help="With --select: make this day, YYYY-MM-DD.")
@click.option("--from", "first", type=DAY, metavar="DAY", help="With --select: make this day and later ones.")
@click.option("--to", "last", type=DAY, metavar="DAY", help="With --select: make this day and earlier ones.")
@click.option("--reload", is_flag=True, help="With --select: load the feeds' extracts into their tables again.")
@click.option("--demo/--no-demo", default=None, help="Make the demo city's day first, or not (default: only in local).")
@click.option("--size", default="small", show_default=True, help="The demo's size: small, large or a number of meters.")
@click.option("--again", is_flag=True, help="Drop the demo's files and write its database once more.")
@click.option(
    "--full", is_flag=True, help="Read all tables, build all models and make all checks, even if nothing is new."
)
@click.pass_context
def run(
    ctx: click.Context,
    select: str | None,
    partition: str | None,
    first: datetime | None,
    last: datetime | None,
    reload: bool,
    demo: bool | None,
    size: str,
    again: bool,
    full: bool,
) -> None:
    """Load delivered files, then build the models.

    Without --select, the command loads the files in inbound, reads the tables of databases and web APIs, builds all dbt
    models and runs every check. In `local` it first starts the local cloud, drops the demo city's files over SFTP and
    writes its database and web APIs, and at the end it compares the counts with the demo's answer key. Running it again
    loads nothing twice. It builds nothing if no file, model, seed, contract, code or setting has changed, no check is
    due, and it has read the databases and web APIs today (--full reads and builds in any case).

    With --select, the command makes only these assets, in any environment. File feeds load their pending files (of
    --partition, of the days from --from to --to, or of all), tables of databases and web APIs what is new; models are
    built from the tables as they are. With --reload, the selected feeds' extracts are loaded again from the lake, a run
    a day, with the same rows as a result: for a table that was dropped, or changed by hand.

    All runs are Dagster's and appear in its UI. If a Dagster daemon is at work (`data-platform dev`, or a
    deployment's), the daemon launches them through its queue and the command watches them. Otherwise the command
    executes them itself, and another `data-platform run` waits until it ends. After `data-platform up --ecs`, the runs
    are tasks of the local ECS, and the command starts a daemon if none is at work (not with --select). Logs go to
    .local/logs/run.log, with -v to the terminal.

    Ctrl-C, SIGTERM and a lost terminal end the command and the run that it executes itself. Runs of a daemon continue.

    \b
    Examples:
      data-platform run
      data-platform run --size large
      data-platform run --again
      data-platform run --full
      data-platform run --select 'raw/harbor_water/*' --partition 2026-03-08
      data-platform run --select 'raw/harbor_water/*' --from 2026-03-01 --to 2026-03-07
      data-platform run --reload --select raw/harbor_water/meter_readings
      data-platform run --select '+key:"marts/city_daily" and kind:dbt'
    Exit codes: 1 a run failed; 3 the counts or the models are not as expected, or a check failed.
    """
    if partition and not select:
        raise click.UsageError("--partition is the day of the selected assets: use it with --select")
    if (first or last or reload) and not select:
        raise click.UsageError("--from, --to and --reload are for selected assets: use them with --select")
    if partition and (first or last or reload):
        raise click.UsageError("--partition is for one day's pending files: use --from and --to instead")
    if full and select:
        raise click.UsageError("--full is for a run without --select: a run with --select always builds its assets")
    local = settings().environment == "local"
    if demo and (not local or select):
        raise click.UsageError("--demo works in `local` only, and without --select")
    if demo and not DEMO.exists():
        raise click.UsageError(f"This project has no demo: {DEMO} doesn't exist")
    with_demo = local and not select and DEMO.exists() if demo is None else demo
    if again and not with_demo:
        raise click.UsageError("--again drops the demo's files once more: it needs the demo")
    from data_platform.cli.run.quiet import logs_to
    from data_platform.cli.signals import end_as_by_ctrl_c

    end_as_by_ctrl_c()
    verbose = bool(ctx.meta.get("verbose"))
    with logs_to(settings().state_dir / "logs" / "run.log", verbose=verbose) as screen:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from data_platform.cli.run.selection import Days
        from data_platform.cli.run.steps import Steps

        columns = (TextColumn("{task.description:<20}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, disable=verbose) as progress:
            steps = Steps(progress, time.monotonic())
            size_dropped = size if with_demo else None
            if select:
                days = Days(first and first.date(), last and last.date())
                report = steps.selected(select, partition, days, reload=reload)
            else:
                report = steps.day(size_dropped, again=again, full=full)
    report.show()
    report.raise_problems()
