"""The sensor that measures what waits: runs in the queue, and files that partners have delivered. Alarms watch both."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from data_platform.automation.feed_keys import feeds_of
from data_platform.automation.metric_lines import INBOUND_AGE, QUEUE_AGE, say
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import scan
from data_platform.resources import LandingResource

METRICS = "metrics"
TICK_SECONDS = 60
_ALL = 1_000_000


def queue_age(instance: dg.DagsterInstance, now: datetime) -> float:
    """For how many seconds the oldest run has been in the queue; 0 if it is empty."""
    queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    records = instance.get_run_records(queued, limit=1, ascending=True)
    return max(0.0, (now - records[0].create_timestamp.astimezone(UTC)).total_seconds()) if records else 0.0


def inbound_age(bucket: LandingBucket, feeds: Sequence[FileFeedSpec], now: datetime) -> float:
    """For how many seconds the oldest file that matches a feed has waited to be settled; 0 if none waits. Files that
    match no feed stay in inbound until their partner removes them, and don't count."""
    found = scan(bucket, FeedIndex(feeds), now=now, limit=_ALL, exists=lambda key: True)
    arrived = [each.pending.modified for each in found.ready]
    arrived += [each.pending.modified for each in found.waiting]
    return max(0.0, (now - min(arrived)).total_seconds()) if arrived else 0.0


@dg.sensor(
    name=METRICS,
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Measures how long runs wait in the queue, and files in inbound, for alarms. Requests no runs.",
)
def metrics(context: dg.SensorEvaluationContext, landing: LandingResource) -> dg.SkipReason:
    """Prints both metrics."""
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the metrics sensor reads the feeds from its code location")
    now = datetime.now(UTC)
    queue = queue_age(context.instance, now)
    inbound = inbound_age(landing.bucket(), feeds_of(context.repository_def, FileFeedSpec), now)
    say(QUEUE_AGE, queue)
    say(INBOUND_AGE, inbound)
    return dg.SkipReason(f"oldest run in the queue: {queue:.0f} s; oldest file in inbound: {inbound:.0f} s")
