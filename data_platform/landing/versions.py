"""Finds the versions of the requested files that a feed takes in. `intake.py` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery


@dataclass(frozen=True)
class Requested:
    """A file in inbound to take in. `companion`: the key of its manifest or trigger. `give_up`: the reason to
    quarantine it unread; versions that landed after `given_up_until` are read, as nobody has tried them yet."""

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
    bucket: LandingBucket, rules: FileFeedSpec, requested: Iterable[Requested], progress: Callable[[str], None]
) -> Iterator[Work]:
    """The requested deliveries. Each version of a file that was overwritten before it was taken in is a delivery, the
    oldest first; the companion belongs to the newest. Leaves out a file that is gone, or whose manifest is, and
    says so to `progress`."""
    for asked in requested:
        # Before the file, so that a newer file's manifest is never taken for this one's.
        companion = bucket.current(asked.companion) if asked.companion else None
        current = bucket.current(asked.key)
        if current is None:
            progress(f"{rules.name}: {asked.key} is gone: settled by another run")
            continue
        if asked.companion and companion is None and rules.readiness.manifest and not asked.give_up:
            progress(f"{rules.name}: {asked.key} waits: {asked.companion} is gone")
            continue
        until = asked.given_up_until
        for version in (*bucket.older_versions(current), current):
            give_up = asked.give_up if until is None or version.landed_at <= until else None
            yield Work(version, companion if version is current else None, give_up)
