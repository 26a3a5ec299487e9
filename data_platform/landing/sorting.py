"""Sorts pending files: which are ready for which feed, and why the others are not.

No partner uses a scan up for the others: where one has many ready files, more than its quota, or names that take long
to match, its folder is closed, and the scan goes on with the next partner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from data_platform.feeds.files import FileFeedSpec, Readiness
from data_platform.feeds.patterns import LONGEST_NAME
from data_platform.landing.bucket import INBOUND, Pending
from data_platform.landing.feed_index import FeedIndex, in_transfer

_SLOW = "the names of its files take too long to match"
_MATCHING_SECONDS = 2.0
"""How long a scan compares one partner's names with its feeds' patterns. A hundred thousand usual ones take 0.1 s."""


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


class Left(NamedTuple):
    """The first file of a partner that waits until others are settled, and why."""

    key: str
    reason: str


@dataclass(slots=True)
class Scan:
    """The result of one scan, from after the key `start_after` on. `resume_after`: the key after which the next scan
    resumes; None at the listing's end. `cut`: the partners whose folder was not listed to its end. `left`: by
    partner, from which file on they wait until others are settled, if any do."""

    ready: list[Ready] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    unmatched: list[tuple[Pending, str]] = field(default_factory=list)
    listed: int = 0
    start_after: str | None = None
    resume_after: str | None = None
    cut: set[str] = field(default_factory=set)
    left: dict[str, Left] = field(default_factory=dict)

    def whole(self, partner: str) -> bool:
        """Whether it listed all of the partner's folder."""
        first, end = f"{INBOUND}{partner}/", _end(partner)
        return (
            partner not in self.cut
            and (self.start_after is None or self.start_after < first)
            and (self.resume_after is None or self.resume_after >= end)
        )


def _end(partner: str) -> str:
    """A key after all of the partner's, and before those of the next one: "0" follows "/"."""
    return f"{INBOUND}{partner}0"


class _Settling(NamedTuple):
    """Files written after `since` wait until their size has been stable for `time`."""

    since: datetime
    time: timedelta
    reason: str


class Sorting:
    """Sorts pending files into a Scan. There may be a hundred thousand, so results that many files share are computed
    once, and the cheapest test comes first."""

    def __init__(
        self,
        found: Scan,
        exists: Callable[[str], bool],
        feeds: FeedIndex,
        now: datetime,
        skip: Callable[[Pending], bool],
        limit_a_partner: int | None,
    ) -> None:
        self._found = found
        self._exists = exists
        self._feeds = feeds
        self._now = now
        self._skip = skip
        self._limit = limit_a_partner
        self._settlings: dict[float, _Settling] = {}
        self._today: dict[str, str] = {}
        self._page: Sequence[Pending] = ()
        self._present: Set[str] | None = None
        self._begin("")

    def end_of_closed(self) -> str | None:
        """The key after which the next partner's files begin, if the last file's partner gets no more."""
        return _end(self._partner) if self._closed else None

    def page(self, page: Sequence[Pending]) -> None:
        """Sorts a page of a listing."""
        self._page, self._present = page, None
        self._found.listed += len(page)
        for pending in page:
            parts = pending.key.split("/", 2)
            if len(parts) < 3:
                self._found.unmatched.append((pending, "it lies outside every partner's inbound folder"))
                continue
            _, partner, file_name = parts
            if partner != self._partner:
                self._begin(partner)
            self._files += 1
            self._bytes += pending.size
            if self._closed or ((self._files > self._most or self._bytes > self._most_bytes) and self._passes(pending)):
                continue
            if in_transfer(file_name):
                self._found.waiting.append(Waiting(pending, "it is named as a file that is still being sent"))
                continue
            candidates = self._match(partner, file_name)
            if len(candidates) == 1:
                rules = candidates[0]
                if (settling := self._settling(rules.readiness)) and pending.modified > settling.since:
                    until = pending.modified + settling.time
                    self._found.waiting.append(Waiting(pending, settling.reason, until))
                elif not self._skip(pending):
                    self._of_feed(pending, rules, file_name)
            elif not self._skip(pending):
                self._of_no_feed(pending, candidates, partner, file_name)

    def _begin(self, partner: str) -> None:
        self._partner, self._closed = partner, False
        self._files = self._bytes = self._ready = 0
        quota = self._feeds.quota(partner)
        self._most, self._most_bytes = quota.files, quota.gigabytes * 10**9
        self._matching = 0.0
        self._match = self._timed_match if self._feeds.may_be_slow(partner) else self._feeds.match

    def _passes(self, pending: Pending) -> bool:
        """Whether the file must wait, as it is beyond its partner's quota."""
        if reason := self._feeds.quota(self._partner).passed(self._files, self._bytes):
            self._leave(pending.key, reason)
            if self._limit is not None:
                self._close()
        return self._closed

    def _timed_match(self, partner: str, file_name: str) -> list[FileFeedSpec]:
        began = time.perf_counter()
        found = self._feeds.match(partner, file_name)
        self._matching += time.perf_counter() - began
        if self._matching > _MATCHING_SECONDS:
            self._leave(f"{INBOUND}{partner}/{file_name}", _SLOW)
            self._close()
        return found

    def _leave(self, key: str, reason: str) -> None:
        """The partner's files wait from this one on."""
        self._found.left.setdefault(self._partner, Left(key, reason))

    def _close(self) -> None:
        """The partner gets no more files of this scan."""
        self._closed = True
        self._found.cut.add(self._partner)

    def _of_feed(self, pending: Pending, rules: FileFeedSpec, file_name: str) -> None:
        try:
            partition = rules.partition_key(file_name)
        except ValueError as error:
            self._found.unmatched.append((pending, str(error)))
            return
        if partition is not None and partition > (today := self._today_in(rules.time_zone)):
            # Dagster refuses a run of a partition that doesn't exist yet.
            reason = f"it belongs to {partition}, a day that has not begun: in {rules.time_zone} it is {today}"
            self._found.unmatched.append((pending, reason))
            return
        companion = rules.readiness.companion(file_name)
        companion_key = f"inbound/{rules.source}/{companion}" if companion else None
        if companion_key is not None and not self._is_there(companion_key):
            self._found.waiting.append(Waiting(pending, f"Waiting for {companion}"))
            return
        self._found.ready.append(Ready(pending, rules, partition, companion_key))
        self._ready += 1
        if self._ready == self._limit:
            self._close()

    def _is_there(self, key: str) -> bool:
        if self._present is None:
            self._present = {pending.key for pending in self._page}
        if key in self._present:
            return True
        # Between the page's first and last key, the page has all that there are.
        return not self._page[0].key <= key <= self._page[-1].key and self._exists(key)

    def _of_no_feed(self, pending: Pending, candidates: Sequence[FileFeedSpec], partner: str, file_name: str) -> None:
        if candidates:
            names = ", ".join(rules.name for rules in candidates)
            self._found.unmatched.append((pending, f"more than one feed's pattern matches it: {names}"))
        elif len(file_name) > LONGEST_NAME:
            self._found.unmatched.append((pending, f"its name is longer than {LONGEST_NAME} characters"))
        elif self._feeds.is_companion(partner, file_name):
            self._found.waiting.append(
                Waiting(pending, "a manifest or trigger, which is settled together with its file")
            )
        elif not self._feeds.knows(partner):
            self._found.unmatched.append((pending, f"{partner} is not a partner, or has no feeds yet"))
        else:
            self._found.unmatched.append((pending, f"it matches no pattern of {partner}'s feeds"))

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
