"""The check `arrivals`: warns of missing files of every feed that declares when its files are expected."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import dagster as dg

from data_platform.automation.feed_keys import raw_key
from data_platform.environment import settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.history import file_names
from data_platform.resources import WarehouseResource

ARRIVALS = "arrivals"
LOOK_BACK = timedelta(days=400)
"""The check reports gaps of the last 400 days, so that a gap stays visible for more than a year."""
_GAPS_NAMED = 10


@dataclass(frozen=True)
class Arrivals:
    """Counts of hours or days: `expected` were due, and `missing` of them have no file although a later one has.
    `gaps`: the same as spans of consecutive slots (the UTC starts of the first and the last). `silent_since`: the slot
    of the latest file, if a later file is overdue."""

    expected: int
    missing: int
    gaps: tuple[tuple[datetime, datetime], ...]
    silent_since: datetime | None


def due_slots(rules: FileFeedSpec, first: datetime, now: datetime) -> Iterator[datetime]:
    """The UTC starts of the hours or days, from `first` on, whose files are due by `now`.

    Hours are counted in UTC, so a day on which clocks change has 23 or 25 of them. A day begins at midnight in the
    feed's time zone.
    """
    if rules.expected is None:
        return
    grace = timedelta(minutes=rules.expected.within_minutes)
    zone = ZoneInfo(rules.time_zone)
    slot = first
    while True:
        if rules.expected.every == "hour":
            end = slot + timedelta(hours=1)
        else:
            day = slot.astimezone(zone).date() + timedelta(days=1)
            end = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        if end + grace > now:
            return
        yield slot
        slot = end


def arrivals(rules: FileFeedSpec, file_names: Iterable[str], now: datetime) -> Arrivals:
    """Compares the files that arrived with those that were due, over the last LOOK_BACK or since the first file."""
    came = {slot for name in file_names if (slot := rules.slot(name)) is not None and slot >= now - LOOK_BACK}
    if not came:
        return Arrivals(0, 0, (), None)
    last = max(came)
    if rules.expected is not None and "%z" not in (rules.expected.format or ""):
        # A file name without an offset stands for both hours of a wall time that occurs twice when clocks go back.
        zone = ZoneInfo(rules.time_zone)
        came |= {slot.astimezone(zone).replace(fold=1).astimezone(UTC) for slot in came}
    due = list(due_slots(rules, min(came), now))
    gaps = [
        list(span) for absent, span in groupby((slot for slot in due if slot < last), lambda s: s not in came) if absent
    ]
    silent = any(slot > last for slot in due)
    spans = tuple((gap[0], gap[-1]) for gap in gaps)
    return Arrivals(len(due), sum(len(gap) for gap in gaps), spans, last if silent else None)


def arrivals_check(feeds: Sequence[FileFeedSpec]) -> dg.AssetChecksDefinition | None:
    """One op that checks the arrivals of a partner's feeds; None if no feed declares when its files are expected."""
    watched = {raw_key(rules): rules for rules in feeds if rules.expected is not None}
    if not watched:
        return None
    specs = [dg.AssetCheckSpec(ARRIVALS, asset=key, description="All due files have arrived.") for key in watched]

    @dg.multi_asset_check(name=f"{feeds[0].source}_arrivals", specs=specs, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
        now = datetime.now(UTC)
        with warehouse.open(query_tag=f"dagster run={context.run.run_id} check=arrivals") as connection:
            for key in sorted(selected.asset_key for selected in context.selected_asset_check_keys):
                rules = watched[key]
                names = file_names(
                    connection, settings().snowflake.database, rules.source, rules.table, since=now - LOOK_BACK
                )
                yield _result(key, rules, arrivals(rules, names, now))

    return check


def _result(key: dg.AssetKey, rules: FileFeedSpec, found: Arrivals) -> dg.AssetCheckResult:
    problems = []
    if found.gaps:
        named = ", ".join(_span(rules, *gap) for gap in found.gaps[:_GAPS_NAMED])
        more = f" and {len(found.gaps) - _GAPS_NAMED} more gaps" if len(found.gaps) > _GAPS_NAMED else ""
        problems.append(f"no usable file for {named}{more}")
    if found.silent_since:
        problems.append(f"no file since the one for {_span(rules, found.silent_since, found.silent_since)}")
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=ARRIVALS,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rules.name}: {'; '.join(problems)}. Ask {rules.source} to send them."
        if problems
        else "All due files have arrived.",
        metadata={"due": found.expected, "missing": found.missing},
    )


def _span(rules: FileFeedSpec, first: datetime, last: datetime) -> str:
    """The hours or days from `first` to `last` as text, in the partner's time zone."""
    hourly = rules.expected is not None and rules.expected.every == "hour"
    form = "%Y-%m-%d %H:%M%z" if hourly else "%Y-%m-%d"
    begin, end = (slot.astimezone(ZoneInfo(rules.time_zone)).strftime(form) for slot in (first, last))
    return begin if first == last else f"{begin} to {end}"
