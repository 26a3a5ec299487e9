"""`data-platform dev`: Dagster's UI and daemon on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from contextlib import suppress

import click

from data_platform.cli.dev_processes import DevProcesses
from data_platform.cli.project import bring_up, ensure_ledger
from data_platform.cli.signals import end_as_by_ctrl_c
from data_platform.code.release import DAGSTER_VARIABLES
from data_platform.environment import Settings, settings, whole_environment
from data_platform.program import as_typed
from data_platform.runs.at_work import dev_claim, dev_workspace
from data_platform.runs.run_lock import folder_in

PORT = 3000
_LOOK_SECONDS = 1.0
_ABANDONED_SECONDS = 15.0


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="The UI's port. Default: 3000, or the next that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The UI's address; loopback only in local.")
@click.option("--git", "url", metavar="URL", help="Serve a repository's code instead of this copy.")
@click.option("--ref", metavar="BRANCH|TAG", default="main", show_default=True, help="With --git: the branch or tag.")
@click.pass_context
def dev(ctx: click.Context, port: int | None, host: str, url: str | None, ref: str) -> None:
    """Open Dagster's UI on this machine, with sensors and schedules running, until Ctrl-C.

    When a defs.yaml, a dbt file or Python changes, `dev` checks the new code and serves it within seconds.
    If the code is wrong, `dev` says why and keeps serving the previous code.

    In `local` it first starts the local cloud if it is not up. The local cloud keeps running afterwards;
    `data-platform down` stops it. With --git the UI shows each push instead of this copy.

    \b
    Examples:
      data-platform dev
      data-platform dev --port 3001
      data-platform dev --git /srv/git/data-platform.git --ref main
    """
    if settings().environment == "local" and host not in ("127.0.0.1", "localhost", "::1"):
        raise click.BadParameter(f"`local` allows loopback only, not {host}", ctx, param_hint="--host")
    end_as_by_ctrl_c()
    with dev_claim(settings().state_dir) as claim:
        wanted = bring_up(lambda line: click.echo(line, err=True))
        ensure_ledger(wanted)  # the first landing run may come before the first `data-platform run`
        code = _code_options(wanted, url, ref)
        chosen = _free_port(port)
        _end_abandoned(wanted)
        address = f"http://{host}:{chosen}"
        claim.write(address)
        claim.flush()
        from data_platform.local_cloud.ports import any_free

        workspace = dev_workspace(wanted.state_dir)
        ui = ["--host", host, "--port", str(chosen), "--workspace", str(workspace)]
        ui += ["--verbose"] if ctx.meta.get("verbose") else ["--log-level", "warning"]
        with DevProcesses(whole_environment(wanted) | DAGSTER_VARIABLES, lambda: _cloud_away(wanted)) as processes:
            if url is not None:
                web = any_free()
                code += ["--webhook-port", str(web)]
                processes.tell(f"The served commit of {url}: http://127.0.0.1:{web}")
            processes.serve_code(code, any_free(), workspace)
            processes.serve_ui(ui, claim.fileno())
            processes.tell(f"Dagster's UI: {address}  (Ctrl-C ends it)")
            with suppress(KeyboardInterrupt):
                sys.exit(_watch(processes, wanted))


def _watch(processes: DevProcesses, wanted: Settings) -> int:
    """Returns the exit code of a process that ended by itself. Meanwhile reports runs whose process is gone."""
    due, before = time.monotonic() + _ABANDONED_SECONDS, set[str]()
    while (code := processes.ended()) is None:
        time.sleep(_LOOK_SECONDS)
        processes.look()
        if time.monotonic() > due and _cloud_away(wanted) is None:
            try:
                before = _end_lockless(wanted, before)
            except Exception as error:  # the database has just gone
                processes.tell(f"abandoned runs can't be looked for: {type(error).__name__}: {error}")
            due = time.monotonic() + _ABANDONED_SECONDS
    return code or 1


def _code_options(wanted: Settings, url: str | None, ref: str) -> list[str]:
    """The code server's options. Raises SettingsError for a wrong URL, and GitFailed if the repository lacks the
    ref."""
    if url is None:
        return ["--files"]
    from data_platform.cli.code_server import with_options
    from data_platform.code.git import GitFailed, RefMissing, Remote

    given = with_options(wanted, {"DATA_PLATFORM_CODE_URL": url, "DATA_PLATFORM_CODE_REF": ref})
    token = given.code.token.get_secret_value() if given.code.token else None
    try:
        Remote(url, ref, token, "DATA_PLATFORM_CODE").resolve()
    except RefMissing:
        raise
    except GitFailed as error:  # the code server retries, and meanwhile serves what it served last
        click.echo(str(error), err=True)
    return ["--git", url, "--ref", ref]


def _free_port(wanted: int | None) -> int:
    from data_platform.local_cloud.ports import is_free

    if wanted is not None:
        if not is_free(wanted):
            raise click.ClickException(f"Port {wanted} is in use: give another one, or none to get one that is free.")
        return wanted
    chosen = next(port for port in range(PORT, 65536) if is_free(port))
    if chosen != PORT:
        click.echo(f"Port {PORT} is in use by another program; using {chosen}", err=True)
    return chosen


def _cloud_away(wanted: Settings) -> str | None:
    """Why nothing works: the local cloud was stopped meanwhile."""
    from data_platform.local_cloud.ports import accepts

    port = wanted.snowflake.port
    if wanted.environment != "local" or port is None or accepts(port):
        return None
    return as_typed("The local cloud is down, so nothing is loaded or built: run `data-platform up`.")


def _end_abandoned(wanted: Settings) -> None:
    """Marks the runs of an earlier `dev` or `run` that was killed as failed, so that they are retried."""
    import dagster as dg

    from data_platform.runs.abandoned import all_runs_are_here, report_abandoned

    with dg.DagsterInstance.get() as instance:
        locks = folder_in(wanted.state_dir)
        for run_id in report_abandoned(instance, locks, all_here=all_runs_are_here(wanted)):
            click.echo(f"run {run_id[:8]} was killed; reported it as failed", err=True)


def _end_lockless(wanted: Settings, before: Collection[str]) -> set[str]:
    """Marks the runs as failed that had no process at the look before either, and returns those that have none now. The
    code server reports a killed run by its lock within seconds; left are those whose lock file was lost."""
    import dagster as dg

    from data_platform.runs.abandoned import all_runs_are_here, report_gone, without_process

    if not all_runs_are_here(wanted):
        return set()
    with dg.DagsterInstance.get() as instance:
        gone = without_process(instance, folder_in(wanted.state_dir))
        for run in gone:
            if run.run_id in before:
                report_gone(instance, run)
                click.echo(f"run {run.run_id[:8]} has no process; reported it as failed", err=True)
    return {run.run_id for run in gone}
