"""`data-platform up | down | status | reset`: the supervisor on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import data_platform
from data_platform.environment import RunsOn, SettingsError, settings
from data_platform.feeds.documents import DefinitionInvalid
from data_platform.local_cloud.ecs.plan import CLUSTER
from data_platform.local_cloud.spec import CloudSpec
from data_platform.local_cloud.supervisor import LocalCloud, LocalCloudError
from data_platform.program import as_typed
from data_platform.runs.at_work import dev_at_work, runs_at_work

NOT_ALL_UP = 3
"""The exit code of `status` unless every part is up: that of a service that is not running."""

_state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the local cloud. Default: the setting DATA_PLATFORM_STATE_DIR, or .local.",
)


RUNS: Mapping[RunsOn, str] = {
    "process": "processes of the code server",
    "ecs": f"tasks of the local ECS, cluster {CLUSTER}",
}


@click.group()
def local_cloud() -> None:
    """The local cloud: AWS, Snowflake and PostgreSQL on this machine, without an account."""


@local_cloud.command()
@_state_dir
@click.option(
    "--ecs/--no-ecs",
    "ecs",
    default=None,
    help="Runs are tasks of the local ECS, or processes. Default: as at the last `up`.",
)
def up(state_dir: Path | None, ecs: bool | None) -> None:
    """Start the local cloud and wait until it answers.

    Starts only the parts that aren't running, and creates the declared buckets, SFTP users and databases. Keeps all
    data.

    \b
    Examples:
      data-platform up
      data-platform up --ecs
      data-platform status
      sftp -P 12222 -i .local/keys/partners/harbor_water harbor_water@127.0.0.1
    """
    if ecs and sys.platform != "linux":
        raise click.UsageError("--ecs works on Linux only: the local ECS finds the processes of its tasks in /proc")
    cloud = declared_cloud(state_dir, None if ecs is None else "ecs" if ecs else "process")
    try:
        environment = cloud.up(click.echo)
    except (LocalCloudError, DefinitionInvalid) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"S3, SSM, Secrets Manager  {environment['AWS_ENDPOINT_URL']}")
    click.echo(f"SFTP for partners         {environment['SFTP_HOST']}:{environment['SFTP_PORT']}")
    snowflake = f"{environment['SNOWFLAKE_HOST']}:{environment['SNOWFLAKE_PORT']}"
    click.echo(f"Snowflake                 {environment['SNOWFLAKE_PROTOCOL']}://{snowflake}")
    postgres = environment["DAGSTER_POSTGRES_URL"].rsplit("@", 1)[1]
    click.echo(f"PostgreSQL                {postgres}")
    click.echo(f"Runs                      {RUNS[cloud.runs_on]}")
    click.echo(f"Settings                  {cloud.layout.environment}")


@local_cloud.command()
@_state_dir
def down(state_dir: Path | None) -> None:
    """Stop the local cloud. Keeps data and keys; the next `up` prefers the same ports.

    Warns if `data-platform dev` is running or a run is executing: runs fail, and `dev` waits for the next `up`.

    \b
    Example:
      data-platform down
    """
    cloud = declared_cloud(state_dir)
    if address := dev_at_work(cloud.layout.root):
        warning = f"warning: `data-platform dev` is running ({address}). It waits until the next `up`."
        click.echo(as_typed(warning), err=True)
    if runs := runs_at_work(cloud.layout.root):
        click.echo(f"warning: these runs are executing, and will fail: {', '.join(runs)}", err=True)
    try:
        cloud.down(click.echo)
    except LocalCloudError as error:
        raise click.ClickException(str(error)) from None
    click.echo("Local cloud stopped")


@local_cloud.command()
@_state_dir
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def status(state_dir: Path | None, as_json: bool) -> None:
    """Show which parts run, where, and for how long. Exits with 0 if all are up, else with 3.

    \b
    Examples:
      data-platform status
      data-platform status --json | jq -r '.parts[] | select(.state != "up") | .part'
    """
    cloud = declared_cloud(state_dir)
    parts = cloud.status()
    all_up = bool(parts) and all(part.state == "up" for part in parts)
    if as_json:
        described = {
            "up": all_up,
            "state_dir": str(cloud.layout.root),
            "runs_on": cloud.runs_on,
            "parts": [asdict(p) for p in parts],
        }
        click.echo(json.dumps(described, indent=2))
    else:
        table = Table("part", "state", "pid", "ports", "uptime", "log", box=None, pad_edge=False)
        for part in parts:
            ports = ", ".join(f"{name} {port}" for name, port in part.ports.items())
            uptime = "" if part.uptime_seconds is None else _duration(part.uptime_seconds)
            log = str(cloud.layout.log(part.part))
            table.add_row(part.part, part.state, str(part.pid or ""), ports, uptime, log)
        # Without a terminal rich would cut the lines at 80 columns.
        Console(width=None if sys.stdout.isatty() else 200).print(table)
        click.echo(f"Runs are {RUNS[cloud.runs_on]}.")
        if not all_up:
            click.echo(as_typed("Not all parts are up: run `data-platform up`."))
    if not all_up:
        sys.exit(NOT_ALL_UP)


@local_cloud.command()
@_state_dir
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def reset(state_dir: Path | None, yes: bool) -> None:
    """Stop the local cloud and remove all its data: files, tables, keys, Dagster's history.

    \b
    Example:
      data-platform reset --yes && data-platform up
    """
    cloud = declared_cloud(state_dir)
    if not yes:
        click.confirm(f"Remove all data of the local cloud in {cloud.layout.root}?", abort=True)
    try:
        cloud.reset(click.echo)
    except LocalCloudError as error:
        raise click.ClickException(str(error)) from None
    click.echo("Local cloud removed")


def declared_cloud(state_dir: Path | None, runs_on: RunsOn | None = None) -> LocalCloud:
    """The local cloud that the settings name. `runs_on`: how to execute runs; None as the settings say. Raises
    click.ClickException outside `local`."""
    try:
        wanted = settings()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if wanted.environment != "local":
        raise click.ClickException(
            f"DATA_PLATFORM_ENVIRONMENT is {wanted.environment}, but the local cloud needs `local`. Unset"
            " it in the shell or in .env."
        )
    snowflake = wanted.snowflake
    if runs_on is None and state_dir in (None, wanted.state_dir):
        runs_on = wanted.runs_on
    return LocalCloud(
        CloudSpec(
            state_dir=state_dir or wanted.state_dir,
            defs_dir=Path(data_platform.__file__).parent / "defs",
            lake_bucket=wanted.lake_bucket,
            landing_bucket=wanted.landing_bucket,
            snowflake={
                "account": snowflake.account,
                "user": snowflake.user,
                "role": snowflake.role,
                "warehouse": snowflake.warehouse,
                "database": snowflake.database,
            },
            runs_on=runs_on,
            own=wanted.process_environment(),
        )
    )


def _duration(seconds: float) -> str:
    """For people: 42 s, 3 min, 5 h 12 min, 2 d 3 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
