"""The one sensor that watches every partner's inbound folder and packs ready deliveries into runs.

It keeps no list of what it has seen. What is pending is what stands in inbound; what is being taken care of, and how
often it has failed, is read from the runs themselves. The cursor holds only where a listing that was cut short
resumes, so it can be reset at any time without losing or doubling a row.
"""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from data_platform.automation.checks import feed_check_specs
from data_platform.automation.landing_run import FEED_METADATA, lake_key, raw_key
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.feed import FeedRules
from data_platform.landing.inbox import FeedIndex, Ready, scan
from data_platform.landing.settle import report_unmatched
from data_platform.resources import LandingResource

LANDING_TAG = "data_platform/landing"
TICK_SECONDS = 10
READY_PER_TICK = 2_000
PACK = 500
"""Deliveries a run takes at most."""
ATTEMPTS = 3
"""Failed runs after which a delivery is quarantined."""
BACK_OFF = timedelta(seconds=30)
_RUNS_SEEN = 1_000
_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass
class History:
    """What runs say of pending files, by token: which are under way, and how many runs have ended with each."""

    under_way: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    last_failure: dict[str, datetime] = field(default_factory=dict)

    def resting(self, pending: Pending, now: datetime) -> bool:
        """Whether a file is to be left alone this tick: a run has it, or it backs off after a failed one."""
        token = pending.token
        if token in self.under_way:
            return True
        failures = self.failed[token]
        return bool(failures) and now < self.last_failure[token] + BACK_OFF * 2 ** (failures - 1)


def read_history(instance: dg.DagsterInstance) -> History:
    """Reads the latest landing runs."""
    history = History()
    records = instance.get_run_records(
        dg.RunsFilter(tags={LANDING_TAG: "true"}), limit=_RUNS_SEEN, ascending=False
    )
    for record in records:
        run = record.dagster_run
        tokens = _tokens(run.run_config)
        if run.status in _IN_PROGRESS:
            history.under_way.update(tokens)
            continue
        history.ended.update(tokens)
        if run.status != dg.DagsterRunStatus.SUCCESS:
            history.failed.update(tokens)
            ended = record.update_timestamp.replace(tzinfo=UTC)
            for token in tokens:
                history.last_failure[token] = max(ended, history.last_failure.get(token, ended))
    return history


def requests(ready: Sequence[Ready], history: History) -> Iterator[dg.RunRequest]:
    """Packs ready files into runs: one a day (partition), whatever its feeds. A file whose run has failed goes
    alone, so that one poisonous file can't take others down with it; after ATTEMPTS it is given up."""
    packs: dict[tuple[str | None, str], list[Ready]] = defaultdict(list)
    for item in ready:
        alone = item.pending.token if history.failed[item.pending.token] else ""
        packs[item.partition, alone].append(item)
    for (partition, _), items in sorted(packs.items(), key=lambda pack: (pack[0][0] or "", pack[0][1])):
        for start in range(0, len(items), PACK):
            yield _request(partition, items[start : start + PACK], history)


def _request(partition: str | None, items: Sequence[Ready], history: History) -> dg.RunRequest:
    attempts = max(history.ended[item.pending.token] for item in items) + 1
    tokens = sorted(item.pending.token for item in items)
    digest = hashlib.sha256("\n".join(tokens).encode()).hexdigest()[:24]
    name = tokens[0] if len(tokens) == 1 else digest
    by_partner: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        by_partner[item.rules.partner].append(_delivery(item, history))
    feeds = list({item.rules.feed: item.rules for item in items}.values())
    keys = [key for rules in feeds for key in (lake_key(rules), raw_key(rules))]
    return dg.RunRequest(
        run_key=f"{name}#{attempts}",
        partition_key=partition,
        asset_selection=sorted(keys),
        asset_check_keys=[spec.key for rules in feeds for spec in feed_check_specs(rules)],
        run_config={
            "ops": {
                partner: {"config": {"deliveries": deliveries}} for partner, deliveries in by_partner.items()
            }
        },
        tags={LANDING_TAG: "true", "data_platform/deliveries": str(len(items))},
    )


def _delivery(item: Ready, history: History) -> dict[str, Any]:
    failures = history.failed[item.pending.token]
    given_up = {"give_up": f"{failures} runs failed while taking it in; see their logs"}
    return {
        "feed": item.rules.feed,
        "key": item.pending.key,
        "token": item.pending.token,
        **({"companion": item.companion} if item.companion else {}),
        **(given_up if failures >= ATTEMPTS else {}),
    }


def _tokens(run_config: Mapping[str, Any]) -> Iterable[str]:
    for op in run_config.get("ops", {}).values():
        for delivery in op.get("config", {}).get("deliveries") or ():
            if token := delivery.get("token"):
                yield token


def feeds_of(repository: dg.RepositoryDefinition) -> list[FeedRules]:
    """The rules of every file feed, from the metadata of the raw assets."""
    found = []
    for assets in set(repository.assets_defs_by_key.values()):
        for metadata in assets.metadata_by_key.values():
            if FEED_METADATA in metadata:
                found.append(FeedRules.model_validate(metadata[FEED_METADATA].data))
    return found


def tick(
    bucket: LandingBucket, feeds: Sequence[FeedRules], history: History, cursor: str | None, now: datetime
) -> tuple[list[dg.RunRequest], str, list[tuple[str, str]], dict[str, int]]:
    """One look at inbound: (run requests, next cursor, newly unmatched (key, reason), counts)."""
    found = scan(
        bucket,
        FeedIndex(feeds),
        now=now,
        start_after=cursor or None,
        limit=READY_PER_TICK,
        skip=lambda pending: history.resting(pending, now),
    )
    reported = [
        (pending.key, reason)
        for pending, reason in found.unmatched
        if pending.key.count("/") >= 2 and report_unmatched(bucket, pending.key, pending.etag, reason)
    ]
    counts = {"listed": found.listed, "ready": len(found.ready), "waiting": len(found.waiting)}
    return list(requests(found.ready, history)), found.resume_after or "", reported, counts


@dg.sensor(
    name="landing",
    target=dg.AssetSelection.kind("sftp").downstream(depth=2, include_self=False).materializable(),
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches every partner's inbound folder; packs ready deliveries into runs, a run a day's files.",
)
def landing(context: dg.SensorEvaluationContext, landing: LandingResource) -> dg.SensorResult:
    """See the module."""
    started = time.monotonic()
    assert context.repository_def is not None
    feeds = feeds_of(context.repository_def)
    run_requests, cursor, reported, counts = tick(
        landing.bucket(), feeds, read_history(context.instance), context.cursor, datetime.now(UTC)
    )
    for key, reason in reported:
        context.log.warning(f"{key} stays where it is: {reason}")
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    context.log.info(f"{summary}, {len(run_requests)} runs asked for in {time.monotonic() - started:.2f} s")
    if not run_requests:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"Nothing to take in: {summary}"), cursor=cursor)
    return dg.SensorResult(run_requests=run_requests, cursor=cursor)
