"""Empties inbound tick by tick, as the daemon would, until every file is settled or waits for another file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import scan
from data_platform.landing.sorting import Scan

if TYPE_CHECKING:
    from data_platform.cli.run.outcome import RunOutcome

_ALL = 1_000_000
_LONGEST_WAIT = 2.0
_LONGEST_SETTLE = 15.0
_TELL_EVERY = 30.0
_GIVE_UP = 900.0


class InboundStalled(Exception):
    """Files are ready, but no run loads them."""


class TakesIn(Protocol):
    """What executes landing runs: `RunsHere` or `RunsByDaemon`."""

    @property
    def busy(self) -> bool: ...

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]: ...


@dataclass
class Drained:
    """The runs, and the files left in inbound at the end: files that match no feed, or that wait for others."""

    left: Scan = field(default_factory=Scan)
    runs: list[RunOutcome] = field(default_factory=list)

    @property
    def failed(self) -> list[RunOutcome]:
        """The runs that failed."""
        return [run for run in self.runs if not run.success]


def look(bucket: LandingBucket, feeds: Sequence[FileFeedSpec]) -> Scan:
    """Every file in inbound now."""
    return scan(bucket, FeedIndex(feeds), now=datetime.now(UTC), limit=_ALL, seconds=600)


def unsettled(found: Scan) -> int:
    """How many files are going to be loaded: they are ready, or will be once their size has been stable."""
    return len(found.ready) + len(_settling(found))


def drain(
    runs: TakesIn,
    bucket: LandingBucket,
    feeds: Sequence[FileFeedSpec],
    *,
    on_wait: Callable[[int], None],
    on_run: Callable[[int, RunOutcome], None],
    tell: Callable[[str], None] = lambda line: None,
) -> Drained:
    """Loads files until every file is settled or waits for another file that is not here.

    `on_wait` gets the number of files that are not loaded yet (they settle, or a run of the daemon has them). `on_run`
    gets the number of files of each run that has ended. `tell` gets a line now and then while none ends. Stops after a
    failed run, because the sensor's next attempts are minutes apart: the daemon, or the next call, makes them. Raises
    InboundStalled if for a quarter of an hour no run has ended or is under way.
    """

    def collect() -> int:
        before = len(done.runs)
        for files, run in runs.take_in():
            done.runs.append(run)
            on_run(files, run)
        return len(done.runs) - before

    reported = heard = time.monotonic()
    done = Drained(look(bucket, feeds))
    on_wait(unsettled(done.left))
    while True:
        if settling := _settling(done.left):  # all of them together make fewer runs than each as it gets ready
            _sleep_until(max(settling))
        ended = collect()
        if ended or runs.busy:
            heard = time.monotonic()
        elif time.monotonic() - heard > _GIVE_UP:
            raise InboundStalled(
                f"No run has ended for {_GIVE_UP / 60:.0f} min; still waiting for {_files(done.left)}."
                " `data-platform deliveries pending` shows what each waits for: a run that nobody executes (end it in"
                " Dagster's UI, or start `data-platform dev`), or the next attempt after failures."
            )
        if ended:
            reported = time.monotonic()
        elif time.monotonic() - reported > _TELL_EVERY:
            reported = time.monotonic()
            tell(f"still waiting for {_files(done.left)}; `data-platform deliveries pending` shows what each waits for")
        if (done.left.ready or runs.busy) and not ended:
            time.sleep(_LONGEST_WAIT)  # a run of the daemon's has them, or they back off
        done.left = look(bucket, feeds)
        on_their_way = unsettled(done.left)
        on_wait(on_their_way)
        if done.failed:
            return done
        if not (on_their_way or runs.busy):
            collect()  # runs of the daemon's that have ended since
            return done


def _files(left: Scan) -> str:
    number = unsettled(left)
    return "a landing run" if not number else "a file" if number == 1 else f"{number:,} files"


def _settling(found: Scan) -> list[datetime]:
    return [waiting.until for waiting in found.waiting if waiting.until]


def _sleep_until(instant: datetime) -> None:
    seconds = (instant - datetime.now(UTC)).total_seconds()
    time.sleep(min(max(seconds, 0.1), _LONGEST_SETTLE))
