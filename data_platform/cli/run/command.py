"""`data-platform run`: takes in what has landed, builds what follows from it, and accounts for every file and row.

The options are here; the steps are in `steps`, which is imported when the command runs: Dagster takes a second.
"""

from __future__ import annotations

import time

import click

from data_platform.cli.project import DEMO
from data_platform.environment import settings


@click.command()
@click.option("--select", metavar="SELECTION", help="Make only these assets, in Dagster's selection syntax.")
@click.option("--partition", metavar="DAY", help="With --select: make this day, YYYY-MM-DD.")
@click.option(
    "--demo/--no-demo", default=None, help="Whether the demo city's partners drop their files (default: in local)."
)
@click.option("--size", default="small", show_default=True, help="The demo's size: small, large or a number of meters.")
@click.option("--again", is_flag=True, help="The demo's partners drop all their files once more.")
@click.option("--full", is_flag=True, help="Build all models and make all checks, even if nothing is new.")
@click.pass_context
def run(
    ctx: click.Context,
    select: str | None,
    partition: str | None,
    demo: bool | None,
    size: str,
    again: bool,
    full: bool,
) -> None:
    """Take in what has landed and build what follows from it.

    Without --select this is the platform's day: load the files in inbound, then build all dbt models and make every
    check. In `local` the command first starts the local cloud, and the demo city's partners drop their files over
    SFTP; at the end it compares the counts with the demo's answer key. Running it again loads nothing twice, and
    builds nothing if no file, model, seed, contract, code or setting has changed and no check is due (--full builds
    all the same).

    With --select, make these assets, in whatever environment the settings name. File feeds load their pending files
    (of --partition, or of all days); models are built from the tables as they are.

    The runs are Dagster's own and appear in its UI. If a Dagster daemon is at work (`data-platform dev`, or a
    deployment's), it launches them through its queue, and this command watches them. Otherwise the command executes
    them itself, and another `data-platform run` waits until it ends. After `data-platform up --ecs` the day's runs are
    tasks of the local ECS: the command starts a daemon if none is at work. Logs go to .local/logs/run.log, with -v to
    the terminal.

    Ctrl-C, SIGTERM and a lost terminal end the command, and any run that it executes itself; that run counts as failed
    or canceled.

    \b
    Examples:
      data-platform run
      data-platform run --size large
      data-platform run --again
      data-platform run --full
      data-platform run --select 'raw/harbor_water/*' --partition 2026-03-08
      data-platform run --select '+key:"marts/city_daily" and kind:dbt'
    Exit codes: 1 a run failed; 3 the counts or the models are not as expected, or a check failed.
    """
    if partition and not select:
        raise click.UsageError("--partition goes with --select: it names the day of the selected assets")
    if full and select:
        raise click.UsageError("--full is for a run without --select, which builds what it selects in any case")
    local = settings().environment == "local"
    if demo and (not local or select):
        raise click.UsageError("--demo is for `local` and for a run without --select")
    if demo and not DEMO.exists():
        raise click.UsageError(f"There is no demo here: {DEMO} doesn't exist")
    with_demo = local and not select and DEMO.exists() if demo is None else demo
    if again and not with_demo:
        raise click.UsageError("--again is the demo's: its files are dropped once more")
    from data_platform.cli.run.quiet import logs_to
    from data_platform.cli.signals import end_as_by_ctrl_c

    end_as_by_ctrl_c()
    verbose = bool(ctx.meta.get("verbose"))
    with logs_to(settings().state_dir / "logs" / "run.log", verbose=verbose) as screen:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from data_platform.cli.run.steps import Steps

        columns = (TextColumn("{task.description:<20}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, disable=verbose) as progress:
            steps = Steps(progress, time.monotonic())
            size_dropped = size if with_demo else None
            report = steps.selected(select, partition) if select else steps.day(size_dropped, again=again, full=full)
    report.show()
    report.raise_problems()
