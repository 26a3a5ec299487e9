"""Files that are due and did not come: the check `arrivals` of every feed that says when its files are expected."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from data_platform.environment import settings
from data_platform.landing.feed import FeedRules
from data_platform.resources import WarehouseResource
from data_platform.warehouse.feed_history import file_names

ARRIVALS = "arrivals"
LOOK_BACK = timedelta(days=35)


@dataclass(frozen=True)
class Arrivals:
    """`missing`: hours or days (UTC starts) without a file though later ones came. `silent_since`: the latest that
    came, where at least one due since then has not."""

    expected: int
    missing: tuple[datetime, ...]
    silent_since: datetime | None


def due_slots(rules: FeedRules, first: datetime, now: datetime) -> Iterator[datetime]:
    """Starts (UTC) of the hours or days, in the feed's time zone, whose files are due by `now`, from `first` on.

    Hours are counted in UTC, so that a day on which clocks change has its 23 or 25; a day begins at the zone's
    midnight.
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


def arrivals(rules: FeedRules, file_names: Iterable[str], now: datetime) -> Arrivals:
    """Holds the files that came (of the last LOOK_BACK, or since the first that came) against what is due."""
    came = sorted({slot for name in file_names if (slot := rules.slot(name)) is not None})
    came = [slot for slot in came if slot >= now - LOOK_BACK]
    if not came:
        return Arrivals(0, (), None)
    due = list(due_slots(rules, came[0], now))
    missing = set(due) - set(came)
    gaps = tuple(slot for slot in due if slot in missing and slot < came[-1])
    silent = any(slot > came[-1] for slot in due)
    return Arrivals(len(due), gaps, came[-1] if silent else None)


def arrivals_check(feeds: Sequence[FeedRules]) -> dg.AssetChecksDefinition | None:
    """One op that checks the arrivals of a partner's feeds; None where no feed says when its files are due."""
    watched = {
        dg.AssetKey(["raw", rules.partner, rules.name]): rules
        for rules in feeds
        if rules.expected is not None
    }
    if not watched:
        return None
    specs = [
        dg.AssetCheckSpec(ARRIVALS, asset=key, description="Every file that is due has come.")
        for key in watched
    ]

    @dg.multi_asset_check(name=f"{feeds[0].partner}_arrivals", specs=specs, can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        now = datetime.now(UTC)
        with warehouse.open(query_tag=f"dagster run={context.run.run_id} check=arrivals") as connection:
            for key in sorted(selected.asset_key for selected in context.selected_asset_check_keys):
                rules = watched[key]
                names = file_names(connection, settings().snowflake.database, rules.partner, rules.name)
                yield _result(key, rules, arrivals(rules, names, now))

    return check


def _result(key: dg.AssetKey, rules: FeedRules, found: Arrivals) -> dg.AssetCheckResult:
    zone = ZoneInfo(rules.time_zone)
    problems = []
    if found.missing:
        first = ", ".join(slot.astimezone(zone).strftime("%Y-%m-%d %H:%M%z") for slot in found.missing[:10])
        more = f" and {len(found.missing) - 10} more" if len(found.missing) > 10 else ""
        problems.append(f"missing: {first}{more}")
    if found.silent_since:
        problems.append(f"nothing since the file of {found.silent_since.astimezone(zone):%Y-%m-%d %H:%M%z}")
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=ARRIVALS,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rules.feed}: {'; '.join(problems)}. Ask {rules.partner} to send them."
        if problems
        else None,
        metadata={"due": found.expected, "missing": len(found.missing)},
    )
