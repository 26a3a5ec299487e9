"""Exit codes, and the messages of failures. The commands print them."""

from __future__ import annotations

import click

FAILED = 1
DATA_PROBLEM = 3


class DataProblem(click.ClickException):
    """The command did its work, and the data has a problem."""

    exit_code = DATA_PROBLEM


class MissingExtra(click.ClickException):
    """A command needs a package that is not installed here."""

    def __init__(self, command: str, module: str) -> None:
        super().__init__(
            f"`data-platform {command}` needs {module}, which is not installed here. Install the extra `local`"
            " (pip install 'data-platform[local]'); the image for AWS doesn't have it."
        )


def explained(error: Exception) -> click.ClickException:
    """An error as one message. The platform's own errors say what to do next; to others this adds where to look."""
    text = str(error).strip() or "no message"
    if type(error).__module__.split(".")[0] == "data_platform":
        return click.ClickException(text)
    hint = "`data-platform doctor` looks for the cause; `data-platform -v ...` shows the traceback."
    return click.ClickException(f"{type(error).__name__}: {text}\n{hint}")
