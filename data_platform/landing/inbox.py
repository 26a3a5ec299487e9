"""Lists the pending files of the inbound prefixes: all of them, page by page, or those of some feeds. Which of them are
ready is found out in `sorting.py`.

An inbound prefix holds only unsettled files, so a scan never lists history. It stops at its limit or deadline and
returns the key from which the next scan resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.sorting import Ready, Scan, Sorting


def scan(
    bucket: LandingBucket,
    feeds: FeedIndex,
    *,
    now: datetime,
    start_after: str | None = None,
    limit: int = 2_000,
    limit_a_partner: int | None = None,
    seconds: float = 20.0,
    skip: Callable[[Pending], bool] = lambda pending: False,
    exists: Callable[[str], bool] | None = None,
) -> Scan:
    """Lists the pending files after a key, until `limit` files are ready or `seconds` have passed.

    `limit_a_partner`: how many may be ready of one partner, of the files within its quota. None: all of its files.
    `skip` says which files to leave out, because a run has them or their next attempt is not due. `exists` looks up a
    manifest or trigger; by default in the bucket.
    """
    found = Scan(start_after=start_after)
    sorting = Sorting(found, exists or bucket.exists, feeds, now, skip, limit_a_partner)
    deadline = time.monotonic() + seconds
    after = start_after
    while True:
        for page in bucket.pages(start_after=after):
            sorting.page(page)
            if not page:
                continue
            over = sorting.end_of_closed()
            if len(found.ready) >= limit or time.monotonic() > deadline:
                found.resume_after = over or page[-1].key
                return found
            if over:
                after = over
                break
        else:
            return found


def pending_of(
    bucket: LandingBucket, feeds: Sequence[FileFeedSpec], *, now: datetime, partition: str | None = None
) -> list[Ready]:
    """The files that are ready for these feeds now, or those of one partition: what a run reads that names no files."""
    index = FeedIndex(feeds)
    ready: list[Ready] = []
    for partner in sorted({rules.source for rules in feeds}):
        found = Scan()
        sorting = Sorting(found, bucket.exists, index, now, lambda pending: False, None)
        for page in bucket.pages(prefix=f"inbound/{partner}/"):
            sorting.page(page)
        ready += found.ready
    return [item for item in ready if partition is None or item.partition == partition]
