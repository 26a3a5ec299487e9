"""Asks a service for many addresses: several requests at a time, and what was found is kept while others are asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice

from data_platform.geocode.cache import Known
from data_platform.geocode.provider import Answer, Provider

KEEP_SECONDS = 5.0
"""How long answers wait before they are kept: what a kill can lose."""
_TELL_SECONDS = 30.0
_AHEAD = 32
"""Addresses that are announced together, or more where one request has more. So many wait while those before them are
asked for, so that no request waits for the warehouse."""


def ask_all(
    provider: Provider,
    addresses: Sequence[str],
    keep: Callable[[Mapping[str, Known]], None],
    announce: Callable[[int], None],
    *,
    progress: Callable[[str], None] = lambda message: None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Known]:
    """The answers by address. `keep` gets them in parts, in this thread. `announce` gets the number of addresses that
    are about to be asked for, before they are; a negative number if some were not asked for after all. If the service
    fails, those that were found are kept, and the first error is raised."""
    found: dict[str, Known] = {}
    new: dict[str, Known] = {}
    left = (addresses[at : at + provider.at_once] for at in range(0, len(addresses), provider.at_once))
    running: dict[Future[list[Answer]], Sequence[str]] = {}
    failure: Exception | None = None
    kept_at = told_at = clock()
    block, unsent = max(provider.requests_at_once, -(-_AHEAD // provider.at_once)), 0

    def keep_new() -> None:
        if new:
            keep(dict(new))
            found.update(new)
            new.clear()

    with ThreadPoolExecutor(provider.requests_at_once, thread_name_prefix="geocode") as pool:
        try:
            while True:
                if failure is None and len(running) <= block and (further := list(islice(left, block))):
                    announce(sum(map(len, further)))
                    running |= {pool.submit(provider.ask, batch): batch for batch in further}
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                now = datetime.now(UTC)
                for future in done:
                    batch = running.pop(future)
                    error = future.exception()
                    if isinstance(error, Exception):
                        failure = failure or error
                        cancelled = [each for each in running if each.cancel()]
                        unsent += sum(len(running.pop(each)) for each in cancelled)
                    else:
                        new |= {asked: Known(answer, now) for asked, answer in zip(batch, future.result(), strict=True)}
                if clock() - kept_at >= KEEP_SECONDS:
                    keep_new()
                    kept_at = clock()
                if clock() - told_at >= _TELL_SECONDS:
                    told_at = clock()
                    progress(f"{provider.name}: {len(found) + len(new):,} of {len(addresses):,} addresses asked")
        finally:
            unsent += sum(len(batch) for future, batch in running.items() if future.cancel())
            keep_new()
            if unsent:
                announce(-unsent)
    if failure is not None:
        raise failure
    return found
