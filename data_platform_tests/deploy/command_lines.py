"""Parses a command's arguments as the command does, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import click


def parse(command: click.Command, arguments: Sequence[str]) -> None:
    """Parses the arguments. Raises click.UsageError, and AssertionError for a subcommand that doesn't exist."""
    if isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, f"no command {arguments[0]}"
        parse(found, arguments[1:])
    else:
        command.make_context("it", list(arguments))
