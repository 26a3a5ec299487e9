"""Which deliveries a run takes in: those that it is asked for, or all that are pending and ready."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING

import dagster as dg

from data_platform.automation.feed_run import FeedConfig, FeedRun
from data_platform.environment import settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.inbox import pending_of

if TYPE_CHECKING:
    from data_platform.landing.source import DeliverySource
    from data_platform.landing.versions import Requested


class RequestedDelivery(dg.Config):
    """A pending file. `token` identifies the upload, as a partner may upload a file of the same name again."""

    feed: str
    key: str
    token: str | None = None
    companion: str | None = None


class LandingConfig(FeedConfig):
    """`deliveries`: the files to ingest; null means all that are pending and ready now. `gives_way_after`: seconds
    after which files that aren't read yet stay in inbound, for a run that no other partner waits for."""

    deliveries: list[RequestedDelivery] | None = None
    gives_way_after: float | None = None


def open_landing(run: FeedRun, feeds: Sequence[FileFeedSpec]) -> list[DeliverySource]:
    """The sources of the feeds that have files to take in, or, with `reload`, of all of them."""
    from data_platform.landing.source import DeliverySource  # the readers, which loading definitions doesn't need

    bucket: LandingBucket = run.context.resources.landing.bucket()
    work = {} if run.config.reload else _requested(run, feeds, bucket)
    seconds = run.config.gives_way_after if isinstance(run.config, LandingConfig) else None
    gives_way_at = inf if seconds is None else time.monotonic() + seconds
    return [
        DeliverySource(
            feed,
            work.get(feed.name, ()),
            bucket=bucket,
            lake=run.lake,
            database=settings().snowflake.database,
            run_id=run.context.run_id,
            gives_way_at=gives_way_at,
            progress=run.progress,
        )
        for feed in feeds
        if run.config.reload or feed.name in work
    ]


def _requested(run: FeedRun, feeds: Sequence[FileFeedSpec], bucket: LandingBucket) -> Mapping[str, list[Requested]]:
    from data_platform.landing.versions import Requested

    asked = run.config.deliveries if isinstance(run.config, LandingConfig) else None
    names = {feed.name for feed in feeds}
    work: dict[str, list[Requested]] = defaultdict(list)
    if asked is None:
        for item in pending_of(bucket, feeds, now=datetime.now(UTC), partition=run.partition):
            work[item.rules.name].append(Requested(item.pending.key, item.companion))
        return work
    for delivery in asked:
        if delivery.feed in names:
            work[delivery.feed].append(Requested(delivery.key, delivery.companion))
    return work
