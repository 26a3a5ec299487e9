"""The demo's days and hours in the city's time zone. They include both clock changes of 2026."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

CITY = ZoneInfo("America/New_York")
# Clocks go forward on 8 March (23 hours) and back on 1 November (25 hours).
DAYS = (
    *(date(2026, 3, day) for day in (7, 8, 9)),
    *(date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)),
)


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of a day. `stamp`: 20261101T01-0500, `prefix`: 2026-11-01T01:, `suffix`: -05:00."""

    index: int
    start: datetime
    day: date
    stamp: str
    prefix: str
    suffix: str


def midnight(day: date) -> datetime:
    """The instant a local day begins, in UTC."""
    return datetime.combine(day, time(), CITY).astimezone(UTC)


def hours() -> list[Hour]:
    """Every hour of the demo's days, in order: the repeated hour twice, the skipped one not at all."""
    found: list[Hour] = []
    for day in DAYS:
        instant = midnight(day)
        while instant < midnight(day + timedelta(days=1)):
            local = instant.astimezone(CITY)
            offset = local.strftime("%z")
            found.append(
                Hour(
                    index=len(found),
                    start=instant,
                    day=day,
                    stamp=local.strftime("%Y%m%dT%H") + offset,
                    prefix=local.strftime("%Y-%m-%dT%H:"),
                    suffix=f"{offset[:3]}:{offset[3:]}",
                )
            )
            instant += timedelta(hours=1)
    return found
