"""A change of several things outside Dagster: its plan, the question, and its steps. What they do is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Step:
    """A part of a change. `lines` say what it changes; without one, there is nothing to do. `apply` may be cut off, and
    called again."""

    name: str
    lines: Sequence[str]
    apply: Callable[[], None]


def carry_out(steps: Iterable[Step], notes: Sequence[str], *, yes: bool) -> None:
    """Shows the plan, asks, and applies the steps in order. `notes`: what the change leaves to others."""
    due = [step for step in steps if step.lines]
    if not due:
        click.echo("Nothing is left to do")
        return
    for step in due:
        click.echo(f"-- {step.name}")
        for line in step.lines:
            click.echo(line)
    for note in notes:
        click.echo(f"--   {note}")
    if not yes:
        click.confirm(f"Apply these {len(due)} steps?", abort=True)
    for step in due:
        step.apply()
        click.echo(f"done: {step.name}")
