"""`data-platform code-server`: serves the code of a branch or a tag to Dagster."""

from __future__ import annotations

import signal
import sys

import click

from data_platform.environment import Settings, SettingsError, settings, whole_environment


@click.command("code-server")
@click.option(
    "--git",
    "url",
    metavar="URL",
    help="The repository. Default: DATA_PLATFORM_CODE_URL; without it, the installed code.",
)
@click.option("--ref", metavar="BRANCH|TAG|COMMIT", help="A branch to follow, or a tag or a full commit hash to serve.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4000,
    show_default=True,
    help="The port that Dagster connects to; 0: a free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on; in a container 0.0.0.0."
)
@click.option(
    "--poll",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    help="Seconds between looks at the repository.",
)
@click.option(
    "--webhook-port", type=click.IntRange(0, 65535), help="A port that shows the state at /, and receives git webhooks."
)
@click.option("--webhook-host", default="127.0.0.1", show_default=True, help="The address of that port.")
@click.option(
    "--files", is_flag=True, help="Without a repository: serve the installed code anew when its files change."
)
@click.pass_context
def code_server(
    ctx: click.Context,
    url: str | None,
    ref: str | None,
    port: int,
    host: str,
    poll: float,
    webhook_port: int | None,
    webhook_host: str,
    files: bool,
) -> None:
    """Serve the code of a branch or tag to Dagster's webserver and daemon.

    The code server fetches, checks and loads each new commit while it serves the old one, then switches. It refuses a
    commit that fails. Without a repository it serves the installed code. Set DATA_PLATFORM_CODE_TOKEN to the
    repository's token, and DATA_PLATFORM_DBT_URL if the dbt project has its own repository.

    With --files, which is for a laptop, it looks at the files instead of a repository: see `data-platform dev`.

    On SIGTERM it waits for the runs that are its processes; Ctrl-C ends them.

    \b
    Examples:
      data-platform code-server
      data-platform code-server --git https://git.example.org/team/data-platform.git --ref main --host 0.0.0.0
      data-platform code-server --git /srv/git/data-platform.git --ref v1.4 --webhook-port 4001
    """
    from data_platform.code.backend import MODULE
    from data_platform.code.git import Remote
    from data_platform.code.server import CodeServer, Wanted, sockets_folder
    from data_platform.runs.abandoned import abandoned_runs_reported
    from data_platform.runs.preloaded import dagster_command
    from data_platform.runs.run_lock import folder_in

    given = with_options(settings(), {"DATA_PLATFORM_CODE_URL": url, "DATA_PLATFORM_CODE_REF": ref})
    if given.environment == "local":
        for name, address in (("--host", host), ("--webhook-host", webhook_host)):
            if address not in ("127.0.0.1", "localhost", "::1"):
                raise click.BadParameter(f"`local` allows loopback only, not {address}", ctx, param_hint=name)
    remotes = []
    for group, prefix in ((given.code, "DATA_PLATFORM_CODE"), (given.dbt_code, "DATA_PLATFORM_DBT")):
        token = group.token.get_secret_value() if group.token else None
        if group.url and not group.ref:
            raise SettingsError(f"{prefix}_REF is missing: expected a branch or tag, for example main")
        remotes.append(Remote(group.url, group.ref, token, prefix) if group.url and group.ref else None)
    if files and any(remotes):
        raise click.UsageError("--files is for the installed code: use it without a repository")
    secret = given.code.webhook_secret
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    environment = whole_environment(given)
    if given.runs_on == "process":
        dagster = dagster_command(sockets_folder(environment), MODULE)
    else:
        dagster = [sys.executable, "-m", "dagster"]
    server = CodeServer(
        Wanted(
            environment=environment,
            dagster=dagster,
            code=remotes[0],
            dbt=remotes[1],
            files=files,
            host=host,
            port=port,
            poll=poll,
            webhook_host=webhook_host,
            webhook_port=webhook_port,
            webhook_secret=secret.get_secret_value() if secret else None,
        )
    )
    locks = folder_in(given.adopt().state_dir)
    try:
        with abandoned_runs_reported(locks, lambda: server.serving, server.log):
            server.run()
    except KeyboardInterrupt:
        sys.exit(1)


def with_options(given: Settings, options: dict[str, str | None]) -> Settings:
    """The settings, overridden by the command line's options, and checked. Raises SettingsError."""
    said = {name: value for name, value in options.items() if value is not None}
    return Settings.from_environment({**given.process_environment(), **said}) if said else given
