"""Sends the logs of Dagster, dbt and the drivers to a file instead of the terminal."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console

from data_platform.cli.output import console

KEEP_BYTES = 20_000_000
"""A longer log is renamed, and a new one begun; one old log is kept."""


@contextmanager
def logs_to(path: Path, *, verbose: bool) -> Iterator[Console]:
    """Redirects stdout and stderr of this process and its children to a file, and yields a console on the terminal's
    stderr. With `verbose` it redirects nothing."""
    if verbose:
        yield console(stderr=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > KEEP_BYTES:
        path.replace(path.with_suffix(".log.1"))
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("a", encoding="utf-8") as log, os.fdopen(os.dup(kept[1]), "w") as terminal:
        log.write(f"\n--- {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}  {' '.join(sys.argv)}\n")
        log.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield Console(file=terminal, highlight=False, width=None if terminal.isatty() else 160)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
