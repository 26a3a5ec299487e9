"""`data-platform dev`: Dagster's UI and daemon on this machine."""

from __future__ import annotations

import os
import sys

import click

from data_platform.cli.project import DEV_STARTED, ROOT, WORKSPACE, bring_up
from data_platform.code.release import DAGSTER_VARIABLES
from data_platform.environment import Settings, settings
from data_platform.runs.run_lock import folder_in


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="The UI's port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The UI's address; loopback only in local.")
@click.option("--git", "url", metavar="URL", help="Serve a repository's code instead of this copy.")
@click.option("--ref", metavar="BRANCH|TAG", default="main", show_default=True, help="With --git: the branch or tag.")
@click.pass_context
def dev(ctx: click.Context, port: int, host: str, url: str | None, ref: str) -> None:
    """Open Dagster's UI on this machine, with sensors and schedules running, until Ctrl-C.

    In `local` it first starts the local cloud if it is not up. The local cloud keeps running afterwards;
    `data-platform down` stops it. With --git it also starts a code server, and the UI shows each push.

    \b
    Examples:
      data-platform dev
      data-platform dev --port 3001
      data-platform dev --git /srv/git/data-platform.git --ref main
    """
    if settings().environment == "local" and host not in ("127.0.0.1", "localhost", "::1"):
        raise click.BadParameter(f"`local` allows loopback only, not {host}", ctx, param_hint="--host")
    wanted = bring_up(lambda line: click.echo(line, err=True))
    _end_abandoned(wanted)
    (wanted.state_dir / DEV_STARTED).touch()
    command = ["env", *(f"{name}={value}" for name, value in DAGSTER_VARIABLES.items())]
    command += [sys.executable, "-m", "dagster", "dev", "--host", host, "--port", str(port)]
    command += ["--verbose"] if ctx.meta.get("verbose") else ["--log-level", "warning"]
    click.echo(f"Dagster's UI: http://{host}:{port}  (Ctrl-C ends it)", err=True)
    os.chdir(ROOT)
    if url is not None:
        from data_platform.cli.code_server import watched

        sys.exit(watched(command, url, ref, wanted))
    command += ["--workspace", str(WORKSPACE)]
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


def _end_abandoned(wanted: Settings) -> None:
    """Marks the runs of an earlier `dev` or `run` that was killed as failed, so that they are retried."""
    import dagster as dg

    from data_platform.runs.abandoned import all_runs_are_here, report_abandoned

    with dg.DagsterInstance.get() as instance:
        locks = folder_in(wanted.state_dir)
        for run_id in report_abandoned(instance, locks, all_here=all_runs_are_here(wanted)):
            click.echo(f"run {run_id[:8]} was killed; reported it as failed", err=True)
