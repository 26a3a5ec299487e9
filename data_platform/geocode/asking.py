"""Asks a service for many addresses: several requests at a time, and what was found is kept while others are asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

from data_platform.geocode.cache import Known
from data_platform.geocode.provider import Answer, Provider

KEEP_SECONDS = 5.0
"""How long answers wait before they are kept: what a kill can lose."""
_TELL_SECONDS = 30.0
_AHEAD = 4
"""Requests that wait for each one under way, so that none waits while answers are being kept."""


def ask_all(
    provider: Provider,
    addresses: Sequence[str],
    keep: Callable[[Mapping[str, Known]], None],
    *,
    progress: Callable[[str], None] = lambda message: None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Known]:
    """The answers by address. `keep` gets them in parts, in this thread. If the service fails, those that were found
    are kept, and the first error is raised."""
    found: dict[str, Known] = {}
    new: dict[str, Known] = {}
    left = [addresses[at : at + provider.at_once] for at in range(0, len(addresses), provider.at_once)][::-1]
    running: dict[Future[list[Answer]], Sequence[str]] = {}
    failure: Exception | None = None
    kept_at = told_at = clock()

    def keep_new() -> None:
        if new:
            keep(dict(new))
            found.update(new)
            new.clear()

    with ThreadPoolExecutor(provider.requests_at_once, thread_name_prefix="geocode") as pool:
        try:
            while left or running:
                while left and len(running) < _AHEAD * provider.requests_at_once:
                    batch = left.pop()
                    running[pool.submit(provider.ask, batch)] = batch
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                now = datetime.now(UTC)
                for future in done:
                    batch = running.pop(future)
                    error = future.exception()
                    if isinstance(error, Exception):
                        failure, left = failure or error, []
                        running = {each: asked for each, asked in running.items() if not each.cancel()}
                    else:
                        new |= {asked: Known(answer, now) for asked, answer in zip(batch, future.result(), strict=True)}
                if clock() - kept_at >= KEEP_SECONDS:
                    keep_new()
                    kept_at = clock()
                if clock() - told_at >= _TELL_SECONDS:
                    told_at = clock()
                    progress(f"{provider.name}: {len(found) + len(new):,} of {len(addresses):,} addresses asked")
        finally:
            for future in running:
                future.cancel()
            keep_new()
    if failure is not None:
        raise failure
    return found
