"""Decodes fields of PostgreSQL's binary format to Arrow arrays, a page at a time.

Each decoder gives the values and its suspects: rows whose value may not be one of the type, which go by the type's rule
for text (`values/`), spelled as PostgreSQL spells them. So what is accepted, and why not, is the same as in files.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from data_platform.contract import Column
from data_platform.extract.sql.fields import Decode, Field, none
from data_platform.values.kernels import Mask, array_of
from data_platform.values.moment_columns import localized, outside_calendar
from data_platform.values.numbers import INTEGER_BITS
from data_platform.values.rejects import Array

_EPOCH_DAYS = 10_957  # from 1970 to 2000, where PostgreSQL's time begins
_DAY = 86_400_000_000
_EPOCH = _EPOCH_DAYS * _DAY
_NEVER = np.iinfo(np.int64)
_INTEGERS = {"int2": ">i2", "int4": ">i4", "int8": ">i8"}


def booleans(field: Field) -> tuple[Array, Mask]:
    """bool."""
    return array_of(field.read("u1").astype(bool), field.null, pa.bool_()), none(field)


def floats(field: Field) -> tuple[Array, Mask]:
    """float8, with NaN and infinities."""
    return array_of(field.read(">f8"), field.null, pa.float64()), none(field)


def integers(column: Column, builtin: str) -> Decode:
    """int2, int4, int8 as the column's integer type."""
    bits = INTEGER_BITS[column.logical.name]

    def decode(field: Field) -> tuple[Array, Mask]:
        values, beyond = field.read(_INTEGERS[builtin]), none(field)
        if bits < 8 * values.itemsize:
            beyond = ((values < -(2 ** (bits - 1))) | (values > 2 ** (bits - 1) - 1)) & ~field.null
        return array_of(values.astype(f"i{bits // 8}"), field.null | beyond, column.arrow_type), beyond

    return decode


def dates(field: Field) -> tuple[Array, Mask]:
    """date; infinities are suspects."""
    days = field.read(">i4").astype(np.int64) + _EPOCH_DAYS
    beyond = (abs(days) > np.iinfo(np.int32).max) & ~field.null
    array = array_of(np.where(beyond, 0, days).astype(np.int32), field.null | beyond, pa.date32())
    return array, beyond | outside_calendar(array)


def times(field: Field) -> tuple[Array, Mask]:
    """time; 24:00:00 is a suspect."""
    micros = field.read(">i8")
    beyond = ((micros < 0) | (micros >= _DAY)) & ~field.null
    return array_of(np.where(beyond, 0, micros), field.null | beyond, pa.time64("us")), beyond


def instants(field: Field) -> tuple[Array, Mask]:
    """timestamptz; infinities are suspects."""
    micros, beyond = _micros(field)
    array = array_of(micros, field.null | beyond, pa.timestamp("us", tz="UTC"))
    return array, beyond | outside_calendar(array)


def wall_times(zone: str) -> Decode:
    """timestamp, as the clocks of a zone show it; times that clocks skip or show twice are suspects."""

    def decode(field: Field) -> tuple[Array, Mask]:
        micros, beyond = _micros(field)
        array, suspects = localized(array_of(micros, field.null | beyond, pa.timestamp("us")), ZoneInfo(zone))
        return array, beyond | suspects | outside_calendar(array)

    return decode


def _micros(field: Field) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Mask]:
    """Microseconds since 1970, and where they are infinite."""
    micros = field.read(">i8")
    infinite = ((micros == _NEVER.max) | (micros == _NEVER.min)) & ~field.null
    return np.where(infinite | field.null, 0, micros) + _EPOCH, infinite


def spell_integer(value: bytes) -> str:
    return str(int.from_bytes(value, "big", signed=True))


def spell_boolean(value: bytes) -> str:
    return "true" if value != b"\0" else "false"


def spell_float(value: bytes) -> str:
    return str(np.frombuffer(value, ">f8")[0])


def spell_text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def spell_date(value: bytes) -> str:
    days = int.from_bytes(value, "big", signed=True)
    return _infinity(days, 32) or "".join(_day(days))


def spell_time(value: bytes) -> str:
    micros = int.from_bytes(value, "big", signed=True)
    return "24:00:00" if micros == _DAY else _clock(micros)


def spell_timestamp(value: bytes) -> str:
    micros = int.from_bytes(value, "big", signed=True)
    # Not as one numpy value: PostgreSQL's last years, counted from 1970, are beyond 64 bits.
    if (infinity := _infinity(micros, 64)) is not None:
        return infinity
    day, era = _day(micros // _DAY)
    return f"{day} {_clock(micros % _DAY)}{era}"


def spell_instant(value: bytes) -> str:
    spelled = spell_timestamp(value)
    return spelled if "infinity" in spelled else f"{spelled}+00:00"


def _day(days: int) -> tuple[str, str]:
    """A day, and its era: before the year 1, PostgreSQL counts years BC."""
    year, month, day = str(np.datetime64(days + _EPOCH_DAYS, "D")).rsplit("-", 2)
    return (f"{1 - int(year):04d}-{month}-{day}", " BC") if int(year) < 1 else (f"{year}-{month}-{day}", "")


def _clock(micros: int) -> str:
    return str(np.datetime64(micros, "us")).partition("T")[2]


def _infinity(value: int, bits: int) -> str | None:
    return {2 ** (bits - 1) - 1: "infinity", -(2 ** (bits - 1)): "-infinity"}.get(value)
