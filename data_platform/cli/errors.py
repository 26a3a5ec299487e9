"""Exit codes, and how a failure is put into words. Nothing is printed here."""

from __future__ import annotations

import click

FAILED = 1
DATA_PROBLEM = 3


class DataProblem(click.ClickException):
    """The command did its work, and what it found in the data is not as it should be."""

    exit_code = DATA_PROBLEM


class MissingExtra(click.ClickException):
    """A command needs a package that is not installed here."""

    def __init__(self, command: str, module: str) -> None:
        super().__init__(
            f"`data-platform {command}` needs {module}, which is not installed here: the local cloud comes with the"
            " extra `local` (pip install 'data-platform[local]'); the image for AWS goes without it."
        )


def explained(error: Exception) -> click.ClickException:
    """An error as one message: the platform's own say what to do next; of others, what they are and where to look."""
    text = str(error).strip() or "no message"
    if type(error).__module__.split(".")[0] == "data_platform":
        return click.ClickException(text)
    hint = "`data-platform doctor` looks for the cause; `data-platform -v ...` shows where it came from."
    return click.ClickException(f"{type(error).__name__}: {text}\n{hint}")
