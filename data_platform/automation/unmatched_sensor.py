"""The sensor that reports files which match no feed to their partners. It is apart from `landing_sensor`, so that
thousands of misnamed files never keep a good one waiting."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from data_platform.automation.feed_keys import feeds_of
from data_platform.automation.loaded_from import LoadedFrom
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.shown import visible
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import scan
from data_platform.landing.settle import report_unmatched
from data_platform.resources import LandingResource

TICK_SECONDS = 30
REPORTED_PER_TICK = 200
REPORT_SECONDS = 2.0
LONGEST_UPLOAD = timedelta(hours=1)
"""A multipart upload has the time at which it began, and is listed when it has ended."""
_ALL = 1_000_000
_NEVER = datetime.min.replace(tzinfo=UTC)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cursor:
    """Where a walk through inbound was cut short (`after`), when it began, and when the last complete one began
    (`before`): that one has reported what had come by then."""

    after: str | None = None
    began: datetime = _NEVER
    before: datetime = _NEVER

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """The cursor from the text that `write` returned; a fresh cursor for any other text."""
        try:
            after, began, before = json.loads(text or "")
            return cls(after, datetime.fromisoformat(began), datetime.fromisoformat(before))
        except (ValueError, TypeError):
            return cls()

    def write(self) -> str:
        """The cursor as text, about 1 kB at most."""
        return json.dumps([self.after, self.began.isoformat(), self.before.isoformat()])


def report(
    bucket: LandingBucket, feeds: Sequence[FileFeedSpec], cursor: Cursor, now: datetime
) -> tuple[list[tuple[str, str]], Cursor]:
    """Reports files that match no feed, and stops after REPORTED_PER_TICK files or REPORT_SECONDS. Returns the (key,
    reason) of those that it has reported for the first time, and where to go on."""
    began = now if cursor.after is None else cursor.began
    found = scan(bucket, FeedIndex(feeds), now=now, start_after=cursor.after, limit=_ALL, exists=lambda key: True)
    since = cursor.before - LONGEST_UPLOAD if cursor.before > _NEVER else _NEVER
    due = sorted(each for each in found.unmatched if each[0].modified >= since)
    reported: list[tuple[str, str]] = []
    deadline = time.monotonic() + REPORT_SECONDS
    for number, (pending, reason) in enumerate(due):
        if number and (number >= REPORTED_PER_TICK or time.monotonic() > deadline):
            return reported, Cursor(due[number - 1][0].key, began, cursor.before)
        try:
            if report_unmatched(bucket, pending, reason):
                reported.append((pending.key, reason))
        except Exception:
            _log.exception("%r can't be reported", pending.key)
            began = cursor.before  # this walk has not reported all, so the next one doesn't rely on it
    if found.resume_after is not None:
        return reported, Cursor(found.resume_after, began, cursor.before)
    return reported, Cursor(None, began, began)


@dg.sensor(
    name="unmatched",
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports files that match no feed, once each, in their partner's receipts.",
)
def unmatched(context: dg.SensorEvaluationContext, landing: LandingResource) -> dg.SensorResult:
    """Writes the reports. Requests no runs."""
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the sensor reads the feeds from its code location")
    loaded_from = LoadedFrom.of(context.repository_def.metadata or {})
    if loaded_from is not None and loaded_from.changed:
        return dg.SensorResult(
            skip_reason="The definitions' files have changed and are not loaded yet: a new feed may take the files that"
            " match none"
        )
    feeds = feeds_of(context.repository_def, FileFeedSpec)
    reported, cursor = report(landing.bucket(), feeds, Cursor.read(context.cursor), datetime.now(UTC))
    for key, reason in reported:
        context.log.warning(f"{visible(key)} stays in inbound: {visible(reason)}")
    return dg.SensorResult(skip_reason=f"{len(reported)} files reported", cursor=cursor.write())
