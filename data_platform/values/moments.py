"""The rules of dates, times of day and instants. `moment_columns.py` converts whole columns."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.rule import BadValue, Rule, shown

# A midnight without an offset is a date: workbooks and many databases have no other way to write one.
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0{1,9})?)?)?")
_CLOCK = r"(?P<hour>[0-9]{2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?"
_TIME = re.compile(_CLOCK)
_OFFSET = r"(?P<offset>Z|[+-](?P<oh>[0-9]{2})(?::?(?P<om>[0-9]{2}))?)"
_TIMESTAMP = re.compile(rf"(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:[T ]{_CLOCK}{_OFFSET}?)?")


def _iso_date(text: str) -> date:
    try:
        if match := _DATE.fullmatch(text):
            return date.fromisoformat(match[1])
    except ValueError:
        pass
    raise BadValue(f"{shown(text)} is not a date YYYY-MM-DD")


def _clock(match: re.Match[str], text: str) -> time:
    fraction = (match["fraction"] or "").ljust(9, "0")
    if fraction[6:] != "000":
        raise BadValue(f"{shown(text)} is finer than a microsecond")
    try:
        return time(int(match["hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0), int(fraction[:6]))
    except ValueError:
        raise BadValue(f"{shown(text)} is not a time of day") from None


def _by_formats(text: str, formats: tuple[str, ...]) -> datetime:
    for pattern in formats:
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    raise BadValue(f"{shown(text)} doesn't follow {' or '.join(formats)}")


def date_rule(column: FileColumn) -> Rule:
    def parse(text: str) -> date:
        if not column.formats:
            return _iso_date(text)
        moment = _by_formats(text, column.formats)
        if moment.time() != time(0):
            raise BadValue(f"{shown(text)} has a time of day, which a date can't keep")
        return moment.date()

    return parse


def time_rule(column: FileColumn) -> Rule:
    def parse(text: str) -> time:
        if column.formats:
            return _by_formats(text, column.formats).time()
        match = _TIME.fullmatch(text)
        if match is None or match["minute"] is None:
            raise BadValue(f"{shown(text)} is not a time HH:MM[:SS[.ffffff]]")
        return _clock(match, text)

    return parse


def timestamp_rule(column: FileColumn) -> Rule:
    zone = ZoneInfo(column.time_zone) if column.time_zone else None

    def parse(text: str) -> datetime:
        moment = _by_formats(text, column.formats) if column.formats else _iso_timestamp(text)
        try:
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
            if zone is None:
                raise BadValue(f"{shown(text)} has no offset from UTC, and the column names no time_zone")
            return _localized(moment, zone, column, text)
        except OverflowError:
            raise BadValue(f"{shown(text)} is outside the years 1..9999 in UTC") from None

    return parse


def _iso_timestamp(text: str) -> datetime:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise BadValue(f"{shown(text)} is not a timestamp YYYY-MM-DD HH:MM[:SS[.ffffff]][offset]")
    try:
        day = date.fromisoformat(match["date"])
    except ValueError:
        raise BadValue(f"{shown(text)} is not a timestamp: there is no such day") from None
    moment = datetime.combine(day, _clock(match, text))
    if not match["offset"]:
        return moment
    hours, minutes = int(match["oh"] or 0), int(match["om"] or 0)
    if hours > 23 or minutes > 59:
        raise BadValue(f"{shown(text)} has an impossible offset from UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        return moment.replace(tzinfo=UTC) - (-offset if match["offset"][0] == "-" else offset)
    except OverflowError:
        raise BadValue(f"{shown(text)} is outside the years 1..9999 in UTC") from None


def _localized(moment: datetime, zone: ZoneInfo, column: FileColumn, text: str) -> datetime:
    """The instant, in UTC, of a wall time. Raises BadValue when clocks skip it, or when it occurs twice and the
    column says `ambiguous: reject`; OverflowError outside the years 1..9999."""
    first, second = moment.replace(tzinfo=zone), moment.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    if before is None or after is None:
        raise BadValue(f"{shown(text)} has no offset in {zone.key}")
    if before < after:
        raise BadValue(f"{shown(text)} doesn't exist in {zone.key}: clocks go forward over it")
    if before > after and column.ambiguous == "reject":
        raise BadValue(f"{shown(text)} occurs twice in {zone.key}: clocks go back over it")
    offset = after if column.ambiguous == "latest" else before
    return moment.replace(tzinfo=UTC) - offset
