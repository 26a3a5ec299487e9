"""The one sensor that watches every partner's inbound folder and packs ready deliveries into runs.

It keeps no list of files it has seen: inbound holds the pending files, and Dagster's runs say which of them are being
loaded and how often they failed. The cursor only says where to resume a listing that was cut short, and up to which
time files that match no feed were reported. Resetting it neither loses nor doubles a row.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import dagster as dg

from data_platform.automation.feed_checks import feed_check_keys
from data_platform.automation.feed_keys import KIND_TAG, days_of, feeds_of, lake_key, raw_key, step_names
from data_platform.automation.landing_history import LANDING_TAG, History, read_history
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.shown import visible
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.inbox import FeedIndex, Ready, Scan, scan
from data_platform.landing.settle import report_unmatched
from data_platform.resources import LandingResource

TICK_SECONDS = 10
READY_PER_TICK = 2_000
REPORTED_PER_TICK = 200
REPORT_SECONDS = 2.0
FILES_A_RUN = 500
_NEVER = datetime.min.replace(tzinfo=UTC)


def requests(
    ready: Sequence[Ready], history: History, now: datetime, steps: Mapping[str, str]
) -> Iterator[dg.RunRequest]:
    """Packs ready files into one run per day (partition), across feeds whose partitions definitions are equal. Files
    whose run has failed go apart from new ones: whatever failed it doesn't fail theirs. New files wait while an
    earlier run of their day has not started, so that all files that arrive during a cold start go into one run.
    `steps`: the `step_names` of all feeds."""
    packs: dict[tuple[str, str, bool], list[Ready]] = defaultdict(list)
    for item in ready:
        packs[item.partition or "", days_of(item.rules), bool(history.failed[item.pending.token])].append(item)
    for (partition, _, failed), items in sorted(packs.items(), key=lambda pack: pack[0]):
        if not failed and len(items) < FILES_A_RUN and history.packing(partition, now):
            continue
        for start in range(0, len(items), FILES_A_RUN):
            yield _request(items[start : start + FILES_A_RUN], history, now, steps)


def _request(items: Sequence[Ready], history: History, now: datetime, steps: Mapping[str, str]) -> dg.RunRequest:
    attempts = max(history.ended[item.pending.token] for item in items) + 1
    tokens = sorted(item.pending.token for item in items)
    name = tokens[0] if len(tokens) == 1 else hashlib.sha256("\n".join(tokens).encode()).hexdigest()[:24]
    by_step: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        by_step[steps[item.rules.name]].append(_delivery(item))
    feeds = list({item.rules.name: item.rules for item in items}.values())
    return dg.RunRequest(
        # Dagster never launches a second run with the same key, and the history reads recent runs only. A file whose
        # failures it no longer sees would get a key that was used before: the hour prevents that.
        run_key=f"{name}#{attempts}@{now:%Y%m%dT%H}",
        partition_key=items[0].partition,
        asset_selection=[key for rules in feeds for key in (lake_key(rules), raw_key(rules))],
        asset_check_keys=[key for rules in feeds for key in feed_check_keys(rules)],
        run_config={"ops": {step: {"config": {"deliveries": asked}} for step, asked in by_step.items()}},
        tags={
            LANDING_TAG: "true",
            "data_platform/deliveries": str(len(items)),
            "dagster/max_retries": "0",  # this sensor retries, with the files that are pending then
            **history.retry_tags(tokens),
        },
    )


def _delivery(item: Ready) -> dict[str, Any]:
    asked = {"feed": item.rules.name, "key": item.pending.key, "token": item.pending.token}
    return asked | ({"companion": item.companion} if item.companion else {})


@dataclass(frozen=True)
class Cursor:
    """`after`: the key where a listing was cut short. `reported`: files that match no feed were reported up to this
    time. `newest`: the time of the latest such file in the current listing; `left`: that of the earliest which there
    was no time to report."""

    after: str | None = None
    reported: datetime = _NEVER
    newest: datetime = _NEVER
    left: datetime | None = None

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """The cursor from the text that `write` returned; a fresh cursor for any other text."""
        try:
            after, reported, newest, left = json.loads(text or "")
            return cls(
                after,
                datetime.fromisoformat(reported),
                datetime.fromisoformat(newest),
                datetime.fromisoformat(left) if left else None,
            )
        except (ValueError, TypeError):
            return cls()

    def write(self) -> str:
        """The cursor as text, about 1 kB at most."""
        left = self.left.isoformat() if self.left else None
        return json.dumps([self.after, self.reported.isoformat(), self.newest.isoformat(), left])

    def following(self, found: Scan, left: datetime | None) -> "Cursor":
        """The cursor after a scan. `left`: the time of the first file that was not reported though it should have
        been."""
        newest = max([self.newest, *(pending.modified for pending, _ in found.unmatched)])
        left = min((time for time in (self.left, left) if time is not None), default=None)
        if found.resume_after is None:
            return Cursor(None, left or newest, left or newest)
        return Cursor(found.resume_after, self.reported, newest, left)


@dataclass
class Tick:
    """The result of one listing of inbound. `unmatched`: (key, reason) of the files that were reported just now."""

    requests: list[dg.RunRequest]
    cursor: Cursor
    unmatched: list[tuple[str, str]]
    summary: str


def tick(
    bucket: LandingBucket,
    feeds: Sequence[FileFeedSpec],
    history_of: Callable[[], History],
    cursor: Cursor,
    now: datetime,
) -> Tick:
    """Lists inbound once. Calls `history_of` only if something is pending."""
    history = cache(history_of)
    found = scan(
        bucket,
        FeedIndex(feeds),
        now=now,
        start_after=cursor.after,
        limit=READY_PER_TICK,
        skip=lambda pending: history().resting(pending, now),
    )
    reported, left = report(bucket, found, cursor.reported)
    return Tick(
        requests=list(requests(found.ready, history(), now, step_names(feeds))) if found.ready else [],
        cursor=cursor.following(found, left),
        unmatched=reported,
        summary=f"{found.listed} listed, {len(found.ready)} ready, {len(found.waiting)} waiting",
    )


def report(bucket: LandingBucket, found: Scan, since: datetime) -> tuple[list[tuple[str, str]], datetime | None]:
    """Reports files that match no feed to their partners, the oldest first, and stops after REPORTED_PER_TICK files or
    REPORT_SECONDS: thousands of misnamed files mustn't keep anybody's good ones waiting. Returns the (key, reason) of
    those that were reported for the first time, and the time of the first file that is left."""
    reported: list[tuple[str, str]] = []
    due = sorted((each for each in found.unmatched if each[0].modified >= since), key=lambda each: each[0].modified)
    deadline = time.monotonic() + REPORT_SECONDS
    for number, (pending, reason) in enumerate(due):
        if number >= REPORTED_PER_TICK or time.monotonic() > deadline:
            return reported, pending.modified
        if report_unmatched(bucket, pending, reason):
            reported.append((pending.key, reason))
    return reported, None


@dg.sensor(
    name="landing",
    # Not `target`: Dagster would make one job of all these assets, which fails if feeds' partitions differ.
    asset_selection=dg.AssetSelection.tag(KIND_TAG, FileFeedSpec.kind),
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches every partner's inbound folder, and packs ready deliveries into runs, one per day of data.",
)
def landing(context: dg.SensorEvaluationContext, landing: LandingResource) -> dg.SensorResult:
    """Requests runs for the ready deliveries of all partners."""
    started = time.monotonic()
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the landing sensor reads the feeds from its code location")
    now = datetime.now(UTC)
    look = tick(
        landing.bucket(),
        feeds_of(context.repository_def, FileFeedSpec),
        lambda: read_history(context.instance, now),
        Cursor.read(context.cursor),
        now,
    )
    for key, reason in look.unmatched:
        context.log.warning(f"{visible(key)} stays in inbound: {visible(reason)}")
    context.log.info(f"{look.summary}, {len(look.requests)} runs requested in {time.monotonic() - started:.2f} s")
    skipped = None if look.requests else dg.SkipReason(f"Nothing to ingest: {look.summary}")
    return dg.SensorResult(run_requests=look.requests, skip_reason=skipped, cursor=look.cursor.write())
