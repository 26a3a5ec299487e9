"""Output of the commands: consoles, tables, and the formats of numbers, sizes and times."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PLAIN_WIDTH = 180
"""Columns without a terminal, where rich would cut lines at 80."""


@cache
def console(*, stderr: bool = False) -> Console:
    """The console of a stream. Progress bars and warnings go to stderr, results to stdout. It takes no markup, which
    names of files and values would be taken for."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without a frame; the columns named in `right` hold numbers. `add_row` fills it."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def add_row(made: Table, *cells: str | Text) -> None:
    """Adds a row. Text is shown as it is, whatever a partner called a file: it is no markup, and moves no cursor."""
    from rich.text import Text

    from data_platform.lake.shown import visible

    made.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in cells))


def colored(text: str, color: str) -> Text:
    """A text in a color of rich."""
    from rich.text import Text

    return Text(text, style=color)


def show(made: Table) -> None:
    """Prints a table to stdout."""
    console().print(made)


def print_json(value: Any) -> None:
    """Prints JSON to stdout, times as ISO 8601, exact decimals as text."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def count(number: int | None) -> str:
    """1,234,567; nothing for None."""
    return "" if number is None else f"{number:,}"


def size(number: int) -> str:
    """Bytes in a readable unit: 812 B, 4.1 kB, 12.9 MB."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """0.8 s, 42 s, 3 min 20 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def local_time(instant: datetime | None, zone: ZoneInfo) -> str:
    """A time in the city's zone, with its abbreviation: 2026-11-01 01:30:00 EST."""
    return "" if instant is None else f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def amount(value: Any) -> str:
    """A mart's number with thousands separators; decimals stay exact."""
    return f"{value:,}" if isinstance(value, int | Decimal | float) else str(value)
