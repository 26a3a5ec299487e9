"""`data-platform`: the group and its table of commands. It imports a command's module only when you call the command,
so that help and completion answer at once. The commands are in their own modules."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from data_platform.cli.errors import MissingExtra, explained
from data_platform.program import as_typed


class Command(NamedTuple):
    """A command's `module:function`, and its line in the list of commands. `offline`, of a command that needs the local
    cloud (in `local`) and doesn't start it: its subcommands that don't."""

    target: str
    summary: str
    offline: frozenset[str] | None = None


_LOCAL = "data_platform.local_cloud.commands"
COMMANDS: Mapping[str, Command] = {
    "up": Command(f"{_LOCAL}:up", "Start the local cloud and wait until it answers."),
    "down": Command(f"{_LOCAL}:down", "Stop the local cloud. Keeps its data."),
    "status": Command(f"{_LOCAL}:status", "Show which parts of the local cloud run, and where."),
    "reset": Command(f"{_LOCAL}:reset", "Stop the local cloud and remove all its data."),
    "run": Command("data_platform.cli.run.command:run", "Load delivered files, then build the models."),
    "dev": Command("data_platform.cli.dev:dev", "Open Dagster's UI, with sensors and schedules running."),
    "code-server": Command(
        "data_platform.cli.code_server:code_server", "Serve the code of a branch or tag to Dagster."
    ),
    "deliveries": Command(
        "data_platform.cli.deliveries.command:deliveries", "List, show and replay deliveries.", frozenset()
    ),
    "feed": Command(
        "data_platform.cli.feed.command:feed",
        "Test a file against its contract; read again, rename or remove a feed.",
        frozenset(("test",)),
    ),
    "partner": Command("data_platform.cli.partner:partner", "Remove a partner with all its feeds.", frozenset()),
    "publications": Command(
        "data_platform.cli.publications:publications", "List, show and roll back published datasets.", frozenset()
    ),
    "sql": Command("data_platform.cli.rows:sql", "Show the rows of a query. Reads only.", frozenset()),
    "preview": Command("data_platform.cli.rows:preview", "Show some rows of a table.", frozenset()),
    "schema": Command("data_platform.cli.schema:schema", "Plan and apply changes of Snowflake's tables.", frozenset()),
    "ledger": Command("data_platform.cli.ledger:ledger", "Rebuild the ledger after its loss.", frozenset()),
    "snowflake": Command(
        "data_platform.cli.snowflake.command:snowflake", "Prepare a Snowflake account.", frozenset(("bootstrap",))
    ),
    "discover": Command("data_platform.cli.discover:discover", "Declare a source's tables from its catalog."),
    "convert": Command("data_platform.cli.convert.command:convert", "Convert the YAML of earlier systems."),
    "check": Command("data_platform.cli.check:check", "Check every defs.yaml, without connecting to anything."),
    "doctor": Command("data_platform.cli.doctor.command:doctor", "Check settings, packages and connections."),
    "smoke": Command(
        "data_platform.cli.smoke.command:smoke", "Follow a test file from SFTP to a model.", frozenset(("--init",))
    ),
    "secrets": Command("data_platform.cli.secrets:secrets", "List the secrets that are needed; fill those missing."),
    "env": Command("data_platform.cli.env:env", "Print the settings as a shell's export lines."),
    "instance": Command("data_platform.cli.instance:instance", "Print Dagster's instance configuration."),
    "dbt": Command(
        "data_platform.cli.dbt:dbt", "Run dbt with the platform's settings.", frozenset(("parse", "deps", "clean"))
    ),
    "dbt-sources": Command("data_platform.cli.dbt:dbt_sources", "Write dbt's sources from the feeds' contracts."),
    "dbt-manifest": Command("data_platform.cli.dbt:dbt_manifest", "Build dbt's manifest."),
}


class Commands(click.Group):
    """Imports a command when it is called, and reports a failure in one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("data_platform") and not module.startswith(_LOCAL):
                raise
            raise MissingExtra(cmd_name, error.name or str(error)) from error
        if VERBOSE not in command.params and cmd_name != "dbt":  # dbt's arguments are dbt's own
            command.params.append(VERBOSE)  # so that `data-platform run -v` works as `data-platform -v run` does
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = as_typed(each.help or "")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        _require_cloud(*args)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get("verbose"):
            warnings.simplefilter("ignore")  # drivers' and Dagster's, about each other's versions
        try:
            return super().invoke(ctx)
        except (click.Abort, click.exceptions.Exit, BrokenPipeError):  # click ends quietly at a broken pipe
            raise
        except Exception as error:
            if ctx.meta.get("verbose"):
                traceback.print_exc(file=sys.stderr)
            said = error if isinstance(error, click.ClickException) else explained(error)
            vars(said)["message"] = as_typed(said.message)
            raise said from (None if said is error else error)

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        finally:
            _flush()


def _flush() -> None:
    """Writes what is left, so that Python doesn't complain when it ends: a reader such as `head` may have gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _require_cloud(name: str, *rest: str) -> None:
    """Raises click.ClickException if the command connects to a local cloud that was stopped. Drivers would retry for
    half a minute."""
    offline = COMMANDS[name].offline if name in COMMANDS else None
    if offline is None or (offline | {"-h", "--help", "--version"}) & set(rest):
        return
    from data_platform.environment import settings

    given = settings()
    if given.environment == "local" and given.snowflake.port is not None:
        from data_platform.local_cloud.ports import accepts

        if not accepts(given.snowflake.port):
            raise click.ClickException("The local cloud is down: run `data-platform up`.")


def _be_verbose(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["verbose"] = True


VERBOSE = click.Option(
    ["-v", "--verbose"],
    is_flag=True,
    expose_value=False,
    callback=_be_verbose,
    help="Show all logs and tracebacks.",
)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but the data has a problem: a check failed or warned,"
    " for example of quarantined or missing files, counts don't add up, or (status) a part is not up.",
)
@click.version_option(package_name="data-platform", message="%(package)s %(version)s")
def main() -> None:
    """A data platform for a small team, on a laptop or on AWS and Snowflake.

    \b
    Begin with:
      data-platform run        the demo city's day, from SFTP to marts, on this machine
      data-platform dev        Dagster's UI on the same data
      data-platform doctor     when something doesn't work
    """


main.params.append(VERBOSE)
main.help = as_typed(main.help or "")
