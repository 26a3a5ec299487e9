"""Finds the versions of the requested files that a feed takes in. `intake.py` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery


@dataclass(frozen=True)
class Requested:
    """A file in inbound to take in. `companion`: the key of its manifest or trigger."""

    key: str
    companion: str | None = None


@dataclass(frozen=True)
class Work:
    """A version to take in, with the version of its manifest or trigger. `stored`: where its bytes are, if it is no
    longer in inbound."""

    delivery: Delivery
    companion: Delivery | None
    stored: Delivery | None = None


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
        if asked.companion and companion is None and rules.readiness.manifest:
            progress(f"{rules.name}: {asked.key} waits: {asked.companion} is gone")
            continue
        for version in (*bucket.older_versions(current), current):
            yield Work(version, companion if version is current else None)
