"""Which versions of which files a feed is to take in. What is done with them: `intake.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery
from data_platform.landing.feed import FeedRules


@dataclass(frozen=True)
class Requested:
    """A file in inbound to take in. `companion`: the key of its manifest or trigger. `give_up`: quarantine it unread,
    with that reason; not what has landed after `given_up_until`, which nobody has tried yet."""

    key: str
    companion: str | None = None
    give_up: str | None = None
    given_up_until: datetime | None = None


@dataclass(frozen=True)
class Work:
    """A version to take in, with the version of its manifest or trigger. `give_up`: as in Requested."""

    delivery: Delivery
    companion: Delivery | None
    give_up: str | None


def versions(
    bucket: LandingBucket, rules: FeedRules, requested: Iterable[Requested], progress: Callable[[str], None]
) -> Iterator[Work]:
    """The deliveries asked for. A file that was overwritten before it was taken in is as many deliveries as it has
    versions; the older ones come first, and go without the companion, which is the newest one's. A file that is gone,
    or whose manifest is, is left out, and `progress` is told."""
    for asked in requested:
        # Before the file, so that a newer file's manifest is never taken for this one's.
        companion = bucket.current(asked.companion) if asked.companion else None
        current = bucket.current(asked.key)
        if current is None:
            progress(f"{rules.feed}: {asked.key} is gone: settled by another run")
            continue
        if asked.companion and companion is None and rules.readiness.manifest and not asked.give_up:
            progress(f"{rules.feed}: {asked.key} waits: {asked.companion} is gone")
            continue
        until = asked.given_up_until
        for version in (*bucket.older_versions(current), current):
            give_up = asked.give_up if until is None or version.landed_at <= until else None
            yield Work(version, companion if version is current else None, give_up)
