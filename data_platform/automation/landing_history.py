"""What earlier landing runs say about pending files: which files a run is loading, and which failed how often.

A failed run is no file's fault: a file that can't be read or loaded is quarantined by the run that tries, which goes on
with the others. So a file whose run failed is retried for as long as it takes, ever more seldom.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from data_platform.landing.bucket import Pending
from data_platform.runs.landing_runs import LANDING_TAG
from data_platform.runs.queue import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG, SPOT_TAG

PARTNER_TAG = "data_platform/partner"
"""On a run that holds one partner's files only. `deploy/dagster.yaml` limits how many of these run at a time."""
BACK_OFF = timedelta(seconds=30)
LONGEST_BACK_OFF = timedelta(hours=1)
_PARTITION_TAG = "dagster/partition"
_LOOK_BACK = timedelta(days=2)
_FAILED_SEEN = 300
_SUCCEEDED_SEEN = 50
PACK_WHILE = timedelta(seconds=90)
"""How long new files wait while an earlier run of their day has not started, so that a single further run takes them
all. Until the earlier run has a task, theirs would not start sooner anyway. A cold start takes less than this."""
_COMING_UP = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
_IN_PROGRESS = [*_COMING_UP, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_REASON_TAG = "dagster/failure_reason"
_BEFORE = "before"  # the tag's value on a run that goes on demand because Spot took back an earlier run of its files
_NEVER = datetime.min.replace(tzinfo=UTC)

_log = logging.getLogger(__name__)


@dataclass
class History:
    """The past of pending files, by token (an upload's id).

    - `under_way`: files of a run that is queued or running.
    - `ended`, `failed`: how many runs with the file ended, and how many of these failed.
    - `last_failure`, `last_failed_run`: when the last of these failed, and its id.
    - `out_of_memory_at`: the memory (MiB) of the largest task that was killed for it, 0 if none was.
    - `interrupted`: files of runs that Spot took back.
    - `coming_up`: by day (partition, or "") and PARTNER_TAG (or ""), when the latest run that has not started was
      requested.
    """

    under_way: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    last_failure: dict[str, datetime] = field(default_factory=dict)
    last_failed_run: dict[str, str] = field(default_factory=dict)
    out_of_memory_at: Counter[str] = field(default_factory=Counter)
    interrupted: set[str] = field(default_factory=set)
    coming_up: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def retry_tags(self, tokens: Sequence[str]) -> dict[str, str]:
        """The tags that pass the lessons of failed runs on to a run of these files: how much memory was too little, and
        whether Spot took a run back."""
        too_little = max((self.out_of_memory_at[token] for token in tokens), default=0)
        tags = {OUT_OF_MEMORY_TAG: str(too_little)} if too_little else {}
        return tags | ({} if self.interrupted.isdisjoint(tokens) else {INTERRUPTED_TAG: _BEFORE})

    def resting(self, pending: Pending, now: datetime) -> bool:
        """Whether to leave a file alone this tick: a run is loading it, or it waits after a failed run."""
        if not self.under_way and not self.failed:
            return False
        token = pending.token
        if token in self.under_way:
            return True
        retry_at = self.retry_at(token)
        return retry_at is not None and now < retry_at

    def retry_at(self, token: str) -> datetime | None:
        """When a file is retried after failed runs; None if no run with it failed."""
        failures = self.failed[token]
        if not failures:
            return None
        return self.last_failure[token] + min(BACK_OFF * 2.0 ** (failures - 1), LONGEST_BACK_OFF)

    def packing(self, partition: str, partner: str, now: datetime) -> bool:
        """Whether a day's new files, of this partner alone or ("") of several, wait because such a run of that day is
        about to start."""
        return now < self.coming_up.get((partition, partner), _NEVER) + PACK_WHILE

    def add(self, run: dg.DagsterRun, ended_at: datetime, asked_at: datetime = _NEVER) -> None:
        """Takes a run into account."""
        tokens = list(_tokens(run.run_config))
        if run.status in _IN_PROGRESS:
            self.under_way.update(tokens)
            if run.status in _COMING_UP:
                which = run.tags.get(_PARTITION_TAG, ""), run.tags.get(PARTNER_TAG, "")
                self.coming_up[which] = max(asked_at, self.coming_up.get(which, _NEVER))
            return
        self.ended.update(tokens)
        if run.status == dg.DagsterRunStatus.SUCCESS:
            return
        self.failed.update(tokens)
        # A process that gets SIGTERM reports its run as failed, but doesn't know who sent the signal: Spot, or a user.
        told_to_end = run.tags.get(_REASON_TAG) == "UNEXPECTED_TERMINATION"
        if INTERRUPTED_TAG in run.tags or (told_to_end and run.tags.get(SPOT_TAG) == "true"):
            self.interrupted.update(tokens)
        too_little = int(run.tags.get(OUT_OF_MEMORY_TAG, "0"))
        for token in tokens:
            if ended_at >= self.last_failure.get(token, ended_at):
                self.last_failure[token], self.last_failed_run[token] = ended_at, run.run_id
            self.out_of_memory_at[token] = max(too_little, self.out_of_memory_at[token])


def read_history(instance: dg.DagsterInstance, now: datetime) -> History:
    """The history from Dagster's landing runs: those in progress, and the latest that ended."""
    tags = {LANDING_TAG: "true"}
    history = History()
    for record in (
        *instance.get_run_records(dg.RunsFilter(tags=tags, statuses=_IN_PROGRESS)),
        # Two queries: with hundreds of successful runs an hour, one query's limit would hide the few failed runs before
        # their files are retried.
        *(
            record
            for statuses, limit in ((_FAILED, _FAILED_SEEN), ([dg.DagsterRunStatus.SUCCESS], _SUCCEEDED_SEEN))
            for record in instance.get_run_records(
                dg.RunsFilter(tags=tags, statuses=statuses, updated_after=now - _LOOK_BACK),
                limit=limit,
                order_by="update_timestamp",
            )
        ),
    ):
        times = (record.update_timestamp.replace(tzinfo=UTC), record.create_timestamp.replace(tzinfo=UTC))
        try:
            history.add(record.dagster_run, *times)
        except (AttributeError, TypeError, ValueError):  # started by hand, with a configuration or tags of its own
            _log.warning("run %s: its configuration or tags can't be read", record.dagster_run.run_id, exc_info=True)
    return history


def _tokens(run_config: Mapping[str, Any]) -> Iterator[str]:
    for op in run_config.get("ops", {}).values():
        for delivery in op.get("config", {}).get("deliveries") or ():
            if token := delivery.get("token"):
                yield token
