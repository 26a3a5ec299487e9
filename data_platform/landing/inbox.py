"""Lists the pending files of the inbound prefixes and finds out which are ready for which feed.

An inbound prefix holds only unsettled files, so a scan never lists history. It stops at its limit or deadline and
returns the key from which the next scan resumes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from data_platform.feeds.files import FileFeedSpec, Readiness
from data_platform.landing.bucket import LandingBucket, Pending

# SFTP clients and transfer tools upload under such a name, or in a folder with a leading dot, and rename at the end.
_ENDS_IN_TRANSFER = (
    *(".part", ".partial", ".filepart", ".tmp", ".temp", ".swp", "~"),
    *(".crdownload", ".incomplete", ".inprogress", ".uploading", ".writing"),
)


def _in_transfer(file_name: str) -> bool:
    return file_name.startswith(".") or "/." in file_name or file_name.lower().endswith(_ENDS_IN_TRANSFER)


@dataclass(frozen=True, slots=True)
class Ready:
    """A pending file that may be read now. `companion`: the key of its manifest or trigger."""

    pending: Pending
    rules: FileFeedSpec
    partition: str | None
    companion: str | None


class Waiting(NamedTuple):
    """A pending file that may not be read yet, and why. `until`: when its size will have been stable for long enough;
    None if it waits for another file."""

    pending: Pending
    reason: str
    until: datetime | None = None


@dataclass(slots=True)
class Scan:
    """The result of one scan. `resume_after`: the key after which the next scan resumes; None at the listing's end."""

    ready: list[Ready] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    unmatched: list[tuple[Pending, str]] = field(default_factory=list)
    listed: int = 0
    resume_after: str | None = None


# The fixed beginning of a pattern, which every name it matches starts with: its plain characters up to the first
# special one, without a last character that a quantifier makes optional.
_LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()](?![*+?{]))*")


class FeedIndex:
    """Finds the feed of a file. It tries only the feeds of the file's partner whose pattern begins like the name, so
    the cost doesn't grow with the number of feeds."""

    def __init__(self, feeds: Iterable[FileFeedSpec]) -> None:
        # partner -> length of beginning -> beginning -> feeds
        self._by_partner: dict[str, dict[int, dict[str, list[FileFeedSpec]]]] = {}
        self._companions: dict[str, list[re.Pattern[str]]] = {}
        for rules in feeds:
            beginning = _beginning(rules.pattern)
            by_length = self._by_partner.setdefault(rules.source, {})
            by_length.setdefault(len(beginning), {}).setdefault(beginning, []).append(rules)
            template = rules.readiness.manifest or rules.readiness.trigger
            if template:
                expression = re.escape(template).replace(r"\{name\}", r".+").replace(r"\{stem\}", r"[^.]+")
                self._companions.setdefault(rules.source, []).append(re.compile(expression))

    def match(self, partner: str, file_name: str) -> list[FileFeedSpec]:
        """The partner's feeds whose pattern matches the name. More than one is a mistake in the feeds' YAML."""
        return [
            rules
            for length, by_beginning in self._by_partner.get(partner, {}).items()
            for rules in by_beginning.get(file_name[:length], ())
            if rules.regex.fullmatch(file_name)
        ]

    def is_companion(self, partner: str, file_name: str) -> bool:
        """Whether a file of this name is a manifest or trigger of one of the partner's feeds."""
        return any(expression.fullmatch(file_name) for expression in self._companions.get(partner, ()))


def _beginning(pattern: str) -> str:
    found = _LITERAL.match(pattern)
    return found[0] if found and "|" not in pattern else ""


def scan(
    bucket: LandingBucket,
    feeds: FeedIndex,
    *,
    now: datetime,
    start_after: str | None = None,
    limit: int = 2_000,
    seconds: float = 20.0,
    skip: Callable[[Pending], bool] = lambda pending: False,
) -> Scan:
    """Lists the pending files after a key, until `limit` files are ready or `seconds` have passed.

    `skip` says which files to leave out, because a run has them or their next attempt is not due.
    """
    found = Scan()
    sorting = _Sorting(found, bucket, feeds, now, skip)
    deadline = time.monotonic() + seconds
    for page in bucket.pages(start_after=start_after):
        sorting.page(page)
        if page and (len(found.ready) >= limit or time.monotonic() > deadline):
            found.resume_after = page[-1].key
            return found
    return found


class _Settling(NamedTuple):
    """Files written after `since` wait until their size has been stable for `time`."""

    since: datetime
    time: timedelta
    reason: str


class _Sorting:
    """Sorts pending files into a Scan. There may be a hundred thousand, so results that many files share are computed
    once, and the cheapest test comes first."""

    def __init__(
        self, found: Scan, bucket: LandingBucket, feeds: FeedIndex, now: datetime, skip: Callable[[Pending], bool]
    ) -> None:
        self._found = found
        self._bucket = bucket
        self._feeds = feeds
        self._now = now
        self._skip = skip
        self._settlings: dict[float, _Settling] = {}
        self._today: dict[str, str] = {}

    def page(self, page: Sequence[Pending]) -> None:
        """Sorts a page of a listing."""
        present = {pending.key for pending in page}
        self._found.listed += len(page)
        for pending in page:
            parts = pending.key.split("/", 2)
            if len(parts) < 3:
                self._found.unmatched.append((pending, "it lies outside every partner's inbound folder"))
                continue
            _, partner, file_name = parts
            if _in_transfer(file_name):
                self._found.waiting.append(Waiting(pending, "it is named as a file that is still being sent"))
                continue
            candidates = self._feeds.match(partner, file_name)
            if len(candidates) == 1:
                rules = candidates[0]
                if (settling := self._settling(rules.readiness)) and pending.modified > settling.since:
                    until = pending.modified + settling.time
                    self._found.waiting.append(Waiting(pending, settling.reason, until))
                elif not self._skip(pending):
                    self._of_feed(pending, rules, file_name, present)
            elif not self._skip(pending):
                self._of_no_feed(pending, candidates, partner, file_name)

    def _of_feed(self, pending: Pending, rules: FileFeedSpec, file_name: str, present: Set[str]) -> None:
        try:
            partition = rules.partition_key(file_name)
        except ValueError as error:
            self._found.unmatched.append((pending, str(error)))
            return
        if partition is not None and partition > (today := self._today_in(rules.time_zone)):
            # Dagster refuses a run of a partition that doesn't exist yet.
            reason = f"it is of {partition}, which has not begun: in {rules.time_zone} it is {today}"
            self._found.unmatched.append((pending, reason))
            return
        companion = rules.readiness.companion(file_name)
        companion_key = f"inbound/{rules.source}/{companion}" if companion else None
        if companion_key is not None and companion_key not in present and not self._bucket.exists(companion_key):
            self._found.waiting.append(Waiting(pending, f"{companion} has not come"))
            return
        self._found.ready.append(Ready(pending, rules, partition, companion_key))

    def _of_no_feed(self, pending: Pending, candidates: Sequence[FileFeedSpec], partner: str, file_name: str) -> None:
        if candidates:
            names = ", ".join(rules.name for rules in candidates)
            self._found.unmatched.append((pending, f"more than one feed's pattern matches it: {names}"))
        elif self._feeds.is_companion(partner, file_name):
            self._found.waiting.append(Waiting(pending, "it goes with the file that it accompanies"))
        else:
            self._found.unmatched.append((pending, f"no feed of {partner} has a pattern that matches it"))

    def _settling(self, readiness: Readiness) -> _Settling | None:
        """How a feed's files wait for a stable size; None if they wait for another file instead."""
        if readiness.manifest or readiness.trigger:
            return None
        if (settling := self._settlings.get(readiness.settle_seconds)) is None:
            seconds = readiness.settle_seconds
            time = timedelta(seconds=seconds)
            settling = _Settling(self._now - time, time, f"its size must be stable for {seconds:g} s")
            self._settlings[seconds] = settling
        return settling

    def _today_in(self, time_zone: str) -> str:
        if (today := self._today.get(time_zone)) is None:
            today = self._today[time_zone] = self._now.astimezone(ZoneInfo(time_zone)).date().isoformat()
        return today


def pending_of(
    bucket: LandingBucket, feeds: Sequence[FileFeedSpec], *, now: datetime, partition: str | None = None
) -> list[Ready]:
    """The files that are ready for these feeds now, or those of one partition: what a run reads that names no files."""
    index = FeedIndex(feeds)
    ready: list[Ready] = []
    for partner in sorted({rules.source for rules in feeds}):
        found = Scan()
        sorting = _Sorting(found, bucket, index, now, lambda pending: False)
        for page in bucket.pages(prefix=f"inbound/{partner}/"):
            sorting.page(page)
        ready += found.ready
    return [item for item in ready if partition is None or item.partition == partition]
