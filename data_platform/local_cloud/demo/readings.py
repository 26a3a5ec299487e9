"""The city's water meters and their hourly readings. `water` names the files and plants the defects.

Arrow makes the rows and joins them to lines, so millions take seconds. Amounts are whole millilitres, so sums are
exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_platform.local_cloud.demo.calendar import DAYS, Hour

HEADER = ("meter_id", "read_at", "litres", "battery_mv", "status", "comment")
NEW_HEADER = ("meter_id", "read_at", "litres", "battery_mv", "status", "signal_dbm", "comment")
NEW_HEADER_FROM = "20261101T00-0400"
_STATUS = np.array(["ok", "estimated", "low_battery", "leak"])
# As spelled in the file: an empty field is null, two quotes are the empty string.
_COMMENTS = np.array(
    [
        "",
        '""',
        '"Box flooded, pumped out"',
        '"Lid says ""do not open"""',
        "Relevé à la main",
        '"Dog.\nCome back"',
        "水",
    ]
)
_BY_HOUR = np.array([3, 2, 2, 2, 4, 9, 18, 22, 18, 14, 12, 12, 13, 12, 11, 11, 13, 16, 19, 18, 14, 10, 7, 5]) / 12
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Readings:
    """The valid readings of one file: each meter's number minus 1, and millilitres."""

    day: date
    meters: Integers
    millilitres: Integers

    def without(self, records: Iterable[int]) -> Readings:
        """These readings without some records, which count from 1."""
        at = [record - 1 for record in records]
        return Readings(self.day, np.delete(self.meters, at), np.delete(self.millilitres, at))


@dataclass(frozen=True)
class HourFile:
    """One hour's file: its records as text (Arrow strings), and its readings."""

    header: tuple[str, ...]
    lines: Any
    readings: Readings

    def records(self) -> list[str]:
        """The records' text, without line ends."""
        return cast(list[str], self.lines.to_pylist())

    def fields(self, record: str) -> list[str]:
        """A record's fields as spelled in the file. Only the last one, the comment, may contain commas."""
        return record.split(",", len(self.header) - 1)

    def text(self) -> bytes:
        """The whole file."""
        ended = pc.binary_join_element_wise(self.lines, pa.scalar("\n"), pa.scalar(""))
        _, offsets, body = ended.buffers()
        end = np.frombuffer(offsets, dtype=np.int32, count=len(ended) + 1)[-1]
        return joined(self.header, []) + bytes(body.to_pybytes()[:end])


def joined(header: tuple[str, ...], records: Iterable[str]) -> bytes:
    """The content of a file with these records."""
    return "\n".join([",".join(header), *records, ""]).encode()


class Meters:
    """The city's meters, from M-0000001 up."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._ids = pa.array([f"M-{number:07d}" for number in range(1, count + 1)])
        # Never on the hour itself: a reading there could belong to either hour.
        seconds = np.random.default_rng([seed, 1]).integers(1, 3600, count)
        self._minutes = pa.array([f"{second // 60:02d}:{second % 60:02d}" for second in seconds.tolist()])

    def file(self, hour: Hour, *, share: float = 1.0, revised: bool = False) -> HourFile:
        """An hour's file. `share`: how many of the meters it has; `revised`: a tenth of the amounts differ."""
        random = np.random.default_rng([self.seed, 2, hour.index])
        size = self.count
        amounts = (random.gamma(1.6, 4.2, size) * _BY_HOUR[int(hour.stamp[9:11])] * 1000).astype(np.int64)
        if revised:
            amounts[::10] += 1_250
        battery = pa.array(random.integers(2900, 3700, size), mask=random.random(size) < 0.04)
        status = random.choice(len(_STATUS), size, p=[0.95, 0.03, 0.015, 0.005])
        remarks = np.where(random.random(size) < 0.04, random.integers(1, len(_COMMENTS), size), 0)
        columns: dict[str, Any] = {
            "meter_id": self._ids,
            "read_at": pc.binary_join_element_wise(
                pa.scalar(hour.prefix), cast(Any, self._minutes), pa.scalar(hour.suffix), pa.scalar("")
            ),
            "litres": _litres(amounts).cast(pa.string()),
            "battery_mv": battery.cast(pa.string()),
            "status": pa.array(_STATUS[status]),
            "signal_dbm": pa.array(random.integers(-120, -60, size)).cast(pa.string()),
            "comment": pa.array(_COMMENTS[remarks]),
        }
        header = HEADER if hour.stamp < NEW_HEADER_FROM else NEW_HEADER
        lines = pc.binary_join_element_wise(
            *(columns[name] for name in header), ",", null_handling="replace", null_replacement=""
        )
        meters = np.arange(size, dtype=np.int64)
        if share < 1:
            meters = np.sort(random.choice(size, int(size * share), replace=False))
            lines = lines.take(pa.array(meters))
        return HourFile(header, lines, Readings(hour.day, meters, amounts[meters]))


def _litres(millilitres: Integers) -> Any:
    # A decimal128 has 16 bytes, little endian: the amount, then zeros.
    words = np.zeros((len(millilitres), 2), dtype=np.int64)
    words[:, 0] = millilitres
    return pa.Array.from_buffers(pa.decimal128(12, 3), len(millilitres), [None, pa.py_buffer(words.tobytes())])


def daily(kept: Iterable[Readings], meters: int) -> dict[date, dict[str, Any]]:
    """Each day's total and number of readings, for all meters and for each of the first five that have any."""
    amounts = {day: np.zeros(meters, np.int64) for day in DAYS}
    numbers = {day: np.zeros(meters, np.int64) for day in DAYS}
    for readings in kept:
        amounts[readings.day][readings.meters] += readings.millilitres
        numbers[readings.day][readings.meters] += 1
    return {day: _day(amounts[day], numbers[day]) for day in DAYS}


def _day(amounts: Integers, numbers: Integers) -> dict[str, Any]:
    read = np.flatnonzero(numbers)
    return {
        "meters": len(read),
        "readings": int(numbers.sum()),
        "litres": _text(int(amounts.sum())),
        "first_meters": [
            {"meter_id": f"M-{at + 1:07d}", "litres": _text(int(amounts[at])), "readings": int(numbers[at])}
            for at in read[:5].tolist()
        ],
    }


def _text(millilitres: int) -> str:
    return str(Decimal(millilitres).scaleb(-3))
