"""A code location whose assets behave badly, for what happens to runs that are tasks. Loaded by a code server and by
tasks of their own, never by the tests' process. Each asset writes down that it ran, in the folder MARKS."""

import os
import time
from pathlib import Path

import dagster as dg

from data_platform.feeds.compute import Compute

SMALLEST = Compute(cpu=256, memory=512).tags()
SPOT = Compute(cpu=256, memory=512, spot=True).tags()


class Patience(dg.Config):
    """How long an asset takes, in seconds."""

    seconds: float = 600.0


def mark(context: dg.AssetExecutionContext) -> None:
    """Writes down that the asset runs, and where."""
    folder = Path(os.environ["MARKS"]) / context.asset_key.path[-1]
    folder.mkdir(parents=True, exist_ok=True)
    before = len(list(folder.iterdir()))
    (folder / f"{before}-{context.run_id}").write_text(str(os.getpid()))


@dg.asset(tags=SMALLEST)
def fine(context: dg.AssetExecutionContext) -> None:
    """Does what it should."""
    print("printed by a task", os.getpid())
    mark(context)


@dg.asset(tags=SMALLEST)
def first(context: dg.AssetExecutionContext) -> None:
    """Is done when what follows it is killed."""
    mark(context)


@dg.asset(tags=SPOT, deps=[first])
def waits(context: dg.AssetExecutionContext, config: Patience) -> None:
    """Takes its time, unless it is tried again."""
    mark(context)
    if context.run.parent_run_id is None:
        time.sleep(config.seconds)


@dg.asset(tags=SMALLEST)
def endless(context: dg.AssetExecutionContext) -> None:
    """Takes its time always."""
    mark(context)
    time.sleep(600)


@dg.asset(tags=SMALLEST)
def hungry(context: dg.AssetExecutionContext) -> None:
    """Needs more memory than its task has, and less than the next size has."""
    mark(context)
    held = [os.urandom(1024 * 1024) for _ in range(550)]
    time.sleep(600 if context.run.parent_run_id is None else 1)  # until it is looked at
    print(len(held))


@dg.asset(tags=SMALLEST)
def quits(context: dg.AssetExecutionContext) -> None:
    """Ends its process as if all was well, unless it is tried again."""
    mark(context)
    if context.run.parent_run_id is None:
        os.write(1, b"last words of a quitter\n")  # at once: what runs beside it writes there too
        os._exit(0)


@dg.asset(tags=SMALLEST)
def slow(context: dg.AssetExecutionContext) -> None:
    """Takes a few seconds."""
    mark(context)
    time.sleep(6)


defs = dg.Definitions([fine, first, waits, endless, hungry, quits, slow], executor=dg.in_process_executor)
