"""The runs of `run --select`: their assets and their days."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import click
import dagster as dg

from data_platform.automation.feed_keys import days_of, lake_key, raw_key
from data_platform.cli.run.location import CodeLocation
from data_platform.cli.run.outcome import RunOutcome
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import pending_of, scan


class Wanted(NamedTuple):
    """One run: its assets, its day, whether the assets are file feeds', and its configuration."""

    assets: list[dg.AssetKey]
    partition: str | None
    landing: bool
    config: Mapping[str, Any] = {}


class Days(NamedTuple):
    """The days of --from and --to, both included; None: no limit."""

    first: date | None = None
    last: date | None = None

    @property
    def limited(self) -> bool:
        """Whether any day is left out."""
        return self.first is not None or self.last is not None

    def have(self, day: date) -> bool:
        """Whether the day is one of them."""
        return (self.first or date.min) <= day <= (self.last or date.max)


EVERY_DAY = Days()


def selected(location: CodeLocation, selection: str) -> set[dg.AssetKey]:
    """The assets that can be materialized. Raises click.BadParameter for a wrong or empty selection."""
    try:
        keys = set(location.select(selection))
    except dg.DagsterInvalidSubsetError as error:  # names a key that doesn't exist
        raise click.BadParameter(f"{selection!r}: {error}", param_hint="--select") from None
    except dg.DagsterError:
        raise click.BadParameter(
            f"{selection!r} isn't a selection; expected terms such as 'raw/harbor_water/*', 'marts/city_daily' or"
            " 'group:clear_air', joined by `and`, `or`, `not` and parentheses, with + before or behind one for what it"
            " depends on or what depends on it",
            param_hint="--select",
        ) from None
    if not keys:
        left_out = "".join(f"\nA definition is invalid and was left out: {message}" for message in location.invalid)
        raise click.BadParameter(
            f"{selection!r} selects no asset that can be materialized; expected, for example, 'raw/harbor_water/*',"
            f" 'marts/city_daily' or 'group:clear_air'{left_out}",
            param_hint="--select",
        )
    return keys


def requested_runs(
    location: CodeLocation, bucket: LandingBucket, selection: str, partition: str | None, days: Days = EVERY_DAY
) -> tuple[list[Wanted], set[str]]:
    """The runs in order, and the selected feeds. File feeds get a run for each day with pending files, or for the given
    day, and several where Dagster tells their days apart; tables of databases and web APIs get one. A raw table brings
    its extracts with it, so that what is new is loaded.

    Raises click.BadParameter for a wrong or empty selection, and for a text that isn't a day.
    """
    keys = selected(location, selection)
    feeds = [rules for rules in location.feeds if keys & {lake_key(rules), raw_key(rules)}]
    of_feeds = {key for rules in feeds for key in (lake_key(rules), raw_key(rules))} & keys
    runs = []
    for day, mine in _days(feeds, bucket, partition, days):
        tables = {key for rules in mine if raw_key(rules) in keys for key in (lake_key(rules), raw_key(rules))}
        runs.append(Wanted(sorted(tables | {lake_key(rules) for rules in mine} & keys), day, landing=True))
    read_tables = [table for table in location.tables if keys & {lake_key(table), raw_key(table)}]
    of_tables = {key for table in read_tables for key in (lake_key(table), raw_key(table))}
    read = sorted(of_tables & keys | {lake_key(table) for table in read_tables})
    others = sorted(keys - of_feeds - of_tables)
    runs += [Wanted(assets, None, landing=False) for assets in (read, others) if assets]
    return runs, {feed.name for feed in [*feeds, *read_tables]}


def execute(runs: Iterable[Wanted], one: Callable[[Wanted], RunOutcome]) -> Iterator[RunOutcome]:
    """Executes the runs in order. A failed day of files doesn't keep the other days waiting. Anything else waits:
    models would be built from a part of the files."""
    failed = False
    for run in runs:
        if failed and not run.landing:
            return
        outcome = one(run)
        failed = failed or not outcome.success
        yield outcome


def _let_settle(feeds: list[FileFeedSpec], bucket: LandingBucket) -> None:
    """Waits until every file that is here now may be read, so that a file that has only just come is loaded too."""
    now = datetime.now(UTC)
    found = scan(bucket, FeedIndex(feeds), now=now) if feeds else None
    until = [waiting.until for waiting in found.waiting if waiting.until] if found else []
    if until:
        time.sleep((max(until) - now).total_seconds() + 0.1)


def _days(
    feeds: list[FileFeedSpec], bucket: LandingBucket, partition: str | None, days: Days
) -> Iterator[tuple[str | None, list[FileFeedSpec]]]:
    """The days to make, each with the feeds that a single run can make: those with pending files, or, of a given day,
    all that have it."""
    _let_settle(feeds, bucket)
    if partition is None:
        wanted = [(item.partition, item.rules) for item in pending_of(bucket, feeds, now=datetime.now(UTC))]
        wanted = [(day, rules) for day, rules in wanted if not days.limited or (day and days.have(_day(day)))]
    else:
        wanted = [(partition, rules) for rules in _with(_day(partition), feeds)]
    together: dict[tuple[str, str], dict[str, FileFeedSpec]] = defaultdict(dict)
    for day, rules in wanted:
        together[day or "", days_of(rules)][rules.name] = rules
    return ((day or None, list(by_name.values())) for (day, _), by_name in sorted(together.items(), key=itemgetter(0)))


def _day(partition: str) -> date:
    try:
        return datetime.strptime(partition, "%Y-%m-%d").date()
    except ValueError:
        raise click.BadParameter(f"{partition!r} is not a day such as 2026-03-08", param_hint="--partition") from None


def _with(day: date, feeds: list[FileFeedSpec]) -> list[FileFeedSpec]:
    """The feeds that have this day."""
    starts = {rules.partition.start: rules.name for rules in feeds if rules.partition is not None}
    if starts and day < min(starts):
        first = min(starts)
        raise click.BadParameter(f"{day} is before the first day of {starts[first]}, {first}", param_hint="--partition")
    return [rules for rules in feeds if rules.partition is not None and rules.partition.start <= day]
