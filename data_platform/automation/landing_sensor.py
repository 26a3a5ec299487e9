"""The one sensor that watches every partner's inbound folder and packs ready deliveries into runs.

It keeps no list of files it has seen: inbound holds the pending files, and Dagster's runs say which of them are being
loaded. The cursor only says where to resume a listing that was cut short, and of which partners files wait. Resetting
it neither loses nor doubles a row. Files that match no feed are reported by a sensor of their own (`unmatched_sensor`).
"""

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import dagster as dg

from data_platform.automation.feed_checks import feed_check_keys
from data_platform.automation.feed_keys import days_of, feeds_of, lake_key, origin_key, raw_key, step_names
from data_platform.automation.landing_history import PARTNER_TAG, History, read_history
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.shown import visible
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import scan
from data_platform.landing.sorting import Left, Ready
from data_platform.resources import LandingResource
from data_platform.runs.landing_runs import LANDING_TAG

LANDING = "landing"
TICK_SECONDS = 10
READY_PER_TICK = 2_000
READY_PER_PARTNER = 500
FILES_A_RUN = 500
SHARED_FILES = 250
SHARED_BYTES = 10**9
"""A partner with more than this ready at a tick gets runs of its own: in a run with others, they would wait for it."""
SHARED_SECONDS = 120
"""How long a run of several partners reads each one's files; the others are left to a run of that partner alone."""


def requests(
    ready: Sequence[Ready], history: History, now: datetime, steps: Mapping[str, str]
) -> Iterator[dg.RunRequest]:
    """Packs ready files into one run per day (partition), across feeds whose partitions definitions are equal, and
    across partners that haven't got much. Files that a shared run has left go into runs of their partner's own. Files
    whose run has failed go apart from new ones: whatever failed it doesn't fail theirs. New files wait while an earlier
    run of their kind has not started, so that all files that arrive during a cold start go into one run. `steps`: the
    `step_names` of all feeds."""
    alone = _with_much(ready)
    packs: dict[tuple[str, str, str, bool], list[Ready]] = defaultdict(list)
    for item in ready:
        failed = bool(history.failed[item.pending.token])
        left = history.ended[item.pending.token] > history.failed[item.pending.token]
        partner = item.rules.source if left or item.rules.source in alone else ""
        packs[item.partition or "", partner, days_of(item.rules), failed].append(item)
    for (partition, partner, _, failed), items in sorted(packs.items(), key=itemgetter(0)):
        if not failed and len(items) < FILES_A_RUN and history.packing(partition, partner, now):
            continue
        for start in range(0, len(items), FILES_A_RUN):
            yield _request(items[start : start + FILES_A_RUN], partner, history, now, steps)


def _with_much(ready: Sequence[Ready]) -> set[str]:
    files: Counter[str] = Counter(item.rules.source for item in ready)
    size: Counter[str] = Counter()
    for item in ready:
        size[item.rules.source] += item.pending.size
    return {partner for partner in files if files[partner] > SHARED_FILES or size[partner] > SHARED_BYTES}


def _request(
    items: Sequence[Ready], partner: str, history: History, now: datetime, steps: Mapping[str, str]
) -> dg.RunRequest:
    attempts = max(history.ended[item.pending.token] for item in items) + 1
    tokens = sorted(item.pending.token for item in items)
    name = tokens[0] if len(tokens) == 1 else hashlib.sha256("\n".join(tokens).encode()).hexdigest()[:24]
    by_step: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        by_step[steps[item.rules.name]].append(_delivery(item))
    feeds = list({item.rules.name: item.rules for item in items}.values())
    way = {"gives_way_after": SHARED_SECONDS} if len({rules.source for rules in feeds}) > 1 else {}
    return dg.RunRequest(
        # Dagster never launches a second run with the same key, and the history reads recent runs only. A file whose
        # failures it no longer sees would get a key that was used before: the hour prevents that.
        run_key=f"{name}#{attempts}@{now:%Y%m%dT%H}",
        partition_key=items[0].partition,
        asset_selection=[key for rules in feeds for key in (lake_key(rules), raw_key(rules))],
        asset_check_keys=[key for rules in feeds for key in feed_check_keys(rules)],
        run_config={"ops": {step: {"config": {"deliveries": asked, **way}} for step, asked in by_step.items()}},
        tags={
            LANDING_TAG: "true",
            **({PARTNER_TAG: partner} if partner else {}),
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
    """`after`: the key where a listing was cut short. `left`: the partners of which files wait, as there are too
    many."""

    after: str | None = None
    left: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """The cursor from the text that `write` returned; a fresh cursor for any other text."""
        try:
            after, left = json.loads(text or "")
            return cls(after, tuple(left))
        except (ValueError, TypeError):
            return cls()

    def write(self) -> str:
        """The cursor as text, about 1 kB at most, and what the names of `left` take."""
        return json.dumps([self.after, self.left])


class Event(NamedTuple):
    """What happened to a partner: files of it begin to wait, or no longer do."""

    partner: str
    text: str


@dataclass
class Tick:
    """The result of one listing of inbound. `left`: by partner, from which file on they wait."""

    requests: list[dg.RunRequest]
    cursor: Cursor
    events: list[Event]
    left: Mapping[str, Left]
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
        limit_a_partner=READY_PER_PARTNER,
        skip=lambda pending: history().resting(pending, now),
    )
    ended = {partner for partner in cursor.left if found.whole(partner)}
    return Tick(
        requests=list(requests(found.ready, history(), now, step_names(feeds))) if found.ready else [],
        cursor=Cursor(found.resume_after, tuple(sorted({*cursor.left, *found.left} - ended))),
        events=[
            *(Event(partner, left.reason) for partner, left in found.left.items() if partner not in cursor.left),
            *(Event(partner, "all its pending files are loaded again") for partner in sorted(ended)),
        ],
        left=found.left,
        summary=f"{found.listed} listed, {len(found.ready)} ready, {len(found.waiting)} waiting",
    )


def landing_sensor(assets: dg.AssetSelection) -> dg.SensorDefinition:
    """The sensor, which may request runs of these assets: those of all file feeds."""
    sensor = dg.sensor(
        name=LANDING,
        # Not `target`: Dagster would make one job of all these assets, which fails if feeds' partitions differ.
        asset_selection=assets,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Watches every partner's inbound folder, and packs ready files into runs, one per day of data.",
    )
    return sensor(_evaluate)


def _evaluate(context: dg.SensorEvaluationContext, landing: LandingResource) -> dg.SensorResult:
    """Requests runs for the ready deliveries of all partners. Where files of a partner begin to wait, or no longer do,
    records that on the partner's asset."""
    started = time.monotonic()
    if context.repository_def is None:
        raise dg.DagsterInvariantViolationError("the landing sensor reads the feeds from its code location")
    now = datetime.now(UTC)
    feeds = feeds_of(context.repository_def, FileFeedSpec)
    look = tick(
        landing.bucket(),
        feeds,
        lambda: read_history(context.instance, now),
        Cursor.read(context.cursor),
        now,
    )
    for partner, left in look.left.items():
        context.log.warning(f"{partner}: {left.reason}; those from {visible(left.key)} on wait")
    context.log.info(f"{look.summary}, {len(look.requests)} runs requested in {time.monotonic() - started:.2f} s")
    skipped = None if look.requests else dg.SkipReason(f"Nothing to ingest: {look.summary}")
    origins = {rules.source: origin_key(rules) for rules in feeds}
    return dg.SensorResult(
        run_requests=look.requests,
        skip_reason=skipped,
        cursor=look.cursor.write(),
        asset_events=[
            dg.AssetObservation(origins[event.partner], description=event.text)
            for event in look.events
            if event.partner in origins
        ],
    )
