"""Converts whole columns of dates, times of day and instants, by the rules of `moments.py`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.kernels import Mask, array_of, attempt, cast, mask, numbers, pc, union
from data_platform.values.rejects import Array

_NAIVE, _UTC = pa.timestamp("us"), pa.timestamp("us", tz="UTC")
_FIRST = (datetime(1, 1, 1) - datetime(1970, 1, 1)) // timedelta(microseconds=1)
_LAST = (datetime.max - datetime(1970, 1, 1)) // timedelta(microseconds=1)
_FIRST_DAY = (datetime(1, 1, 1) - datetime(1970, 1, 1)).days
_LAST_DAY = (datetime(9999, 12, 31) - datetime(1970, 1, 1)).days
_STEPS = (86_400_000_000, 3_600_000_000, 60_000_000)
# strptime directives of fixed width, as a group of a regular expression, with the place of the group in ISO 8601.
_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "m": r"(?P<m>[0-9]{2})",
    "d": r"(?P<d>[0-9]{2})",
    "H": r"(?P<H>[0-9]{2})",
    "M": r"(?P<M>[0-9]{2})",
    "S": r"(?P<S>[0-9]{2})",
    "f": r"(?P<f>[0-9]{1,6})",
    "z": r"(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})",
}


def _as_iso(texts: Array, column: FileColumn) -> tuple[Array, Mask | None]:
    """The texts as ISO 8601, and the rows that aren't in the first format's fixed-width spelling."""
    if not column.formats:
        return texts, None
    translated = iso_translation(column.formats[0])
    if translated is None:
        return texts, np.ones(len(texts), dtype=bool)
    pattern, iso = translated
    other = ~mask(pc.match_substring_regex(texts, pattern))
    return pc.replace_substring_regex(texts, pattern, iso), other


def iso_translation(pattern: str) -> tuple[str, str] | None:
    r"""A strptime format as a regular expression for its fixed-width spelling and the replacement that makes it
    ISO 8601, or None where there is no such. `%d/%m/%Y` -> (`^(..)/(..)/(....)$`, `\3-\2-\1`)."""
    order: list[str] = []
    regex = ""
    for directive, literal in re.findall(r"%(.)|([^%]+)", pattern):
        if literal:
            regex += re.escape(literal)
        elif directive in _DIRECTIVES and directive not in order:
            order.append(directive)
            regex += _DIRECTIVES[directive]
        else:
            return None
    at = {directive: f"\\{place}" for place, directive in enumerate(order, 1)}
    names = set(order)
    day = [*"Ymd"] if names >= {*"Ymd"} else []
    clock = next((found for found in ("HMSf", "HMS", "HM", "H") if names >= {*found}), "")
    if names - set(day) - set(clock) - {"z"} or not (day or clock) or ("z" in names and not (day and clock)):
        return None
    iso = "-".join(at[part] for part in day)
    if clock:
        iso += "T" if day else ""
        iso += ":".join(at[part] for part in clock[:3]) + (f".{at['f']}" if "f" in names else "")
        iso += ":00" if clock == "H" else ""
    return f"^{regex}$", iso + at.get("z", "")


def dates(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    iso, suspects = _as_iso(texts, column)
    array, found = attempt(iso, cast(pa.date32()), suspects)
    return array, found | outside_calendar(array)


def times(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    # Arrow has no cast from text to time; the clock of any day has the same rule.
    iso, suspects = _as_iso(texts, column)
    suspects = union(suspects, mask(pc.less(pc.binary_length(iso), len("HH:MM"))))
    array, found = attempt(pc.binary_join_element_wise("1970-01-01T", iso, ""), cast(_NAIVE), suspects)
    return array.cast(pa.time64("us")), found


def timestamps(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    iso, suspects = _as_iso(texts, column)
    if column.time_zone is None:
        array, found = attempt(iso, cast(_UTC), suspects)
        return array, found | outside_calendar(array)
    # With a zone, one column may hold texts with and without an offset.
    offset = mask(pc.match_substring_regex(iso, r"T?[0-9:.]*(?:Z|[+-][0-9]{2}:?[0-9]{0,2})$")) & mask(
        pc.greater(pc.binary_length(iso), len("YYYY-MM-DD"))
    )
    local, found = attempt(iso, cast(_NAIVE), union(suspects, offset.copy()))
    utc, ambiguous = localized(local, ZoneInfo(column.time_zone))
    found = found | ambiguous
    if offset.any():
        with_offset, refused = attempt(iso, cast(_UTC), union(suspects, ~offset))
        utc = pc.if_else(pa.array(offset), with_offset, utc)
        found = np.where(offset, refused, found)
    return utc, found | outside_calendar(utc)


def outside_calendar(array: Array) -> Mask:
    """Dates, or instants in microseconds, outside the years 1..9999."""
    is_date = pa.types.is_date32(array.type)
    first, last = (_FIRST_DAY, _LAST_DAY) if is_date else (_FIRST, _LAST)
    values = numbers(array, "i4" if is_date else "i8")
    found = (values < first) | (values > last)
    return found & mask(array.is_valid()) if array.null_count and found.any() else found


def localized(local: Array, zone: ZoneInfo) -> tuple[Array, Mask]:
    """Wall times as instants, and the rows that the rule must judge. The offset comes from the standard library's
    time zones, a day at a time where the day has one, else an hour or a minute at a time: Arrow's own conversion
    knows no clock changes after 2037 where zone files are slim."""
    valid = mask(local.is_valid())
    micros = numbers(local, "i8").copy()
    pending = np.flatnonzero(valid & (micros >= _FIRST + _STEPS[0]) & (micros <= _LAST - _STEPS[0]))
    settled = np.zeros(len(micros), dtype=bool)
    for step in _STEPS:
        if not len(pending):
            break
        starts = array_of(micros[pending] // step, ~valid[pending], pa.int64()).dictionary_encode()
        which = numbers(starts.indices, "i4")
        offsets = [_offset_through(start * step, step, zone) for start in starts.dictionary.to_pylist()]
        known = np.array([offset is not None for offset in offsets])[which]
        shift = np.array([offset or 0 for offset in offsets], dtype=np.int64)[which]
        micros[pending[known]] -= shift[known]
        settled[pending[known]] = True
        pending = pending[~known]
    return array_of(micros, ~valid, _UTC), valid & ~settled


def _offset_through(start: int, length: int, zone: ZoneInfo) -> int | None:
    """The offset from UTC, in microseconds, of every wall time from `start` through `start + length`, or None
    where clocks change in between."""
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    end = begin + timedelta(microseconds=length)
    found = {moment.replace(tzinfo=zone, fold=fold).utcoffset() for moment in (begin, end) for fold in (0, 1)}
    offset = found.pop()
    return None if found or offset is None else offset // timedelta(microseconds=1)
