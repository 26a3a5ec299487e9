"""Clear Air's files, with their defects: each day's measurements as Parquet, the stations as a workbook."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from data_platform.local_cloud.demo.calendar import DAYS, midnight
from data_platform.local_cloud.demo.key import PlantedReject
from data_platform.local_cloud.demo.shelf import Shelf

PARTNER = "clear_air"
_NAMES = (
    *("Customs House", "Fish Pier", "Gasworks", "Hospital Hill", "Kiln Street", "Lighthouse", "Mill Pond"),
    *("North Quay", "Orchard", "Ropewalk", "Saltmarsh", "Tram Depot", "Uplands"),
)


@dataclass(frozen=True)
class Measurements:
    """A day's valid measurements, each (station, pm25 in hundredths or None)."""

    day: date
    values: tuple[tuple[str, int | None], ...]


def make_measurements(folder: Path, seed: int) -> Shelf[Measurements]:
    """Writes all files of air_quality, for both waves."""
    shelf: Shelf[Measurements] = Shelf(folder, PARTNER, "air_quality")
    march_7, march_8, march_9, october_31, november_1, november_2 = DAYS
    tables = {day: _table(day, seed) for day in DAYS}

    coarser = _with(tables[march_7], "measured_at", pa.timestamp("ms", tz="America/New_York"))
    _put(shelf, 1, march_7, coarser, defect="nothing wrong: times in milliseconds of the city's zone")
    wider = _with(_with(tables[march_8], "humidity", pa.int64()), "pm25", pa.decimal128(10, 4))
    wider = _changed(wider, "station_id", 20, None)
    wider = _changed(_changed(wider, "humidity", 700, 300), "pm25", 701, Decimal("12.3456"))
    rejects = (
        PlantedReject(record=21, column="station_id", reason="missing"),
        PlantedReject(record=701, column="humidity", reason="range"),
        PlantedReject(record=702, column="pm25", reason="digits"),
    )
    _put(shelf, 1, march_8, wider, rejects, defect="wider types, and values that don't fit the contract's")
    cut = _parquet(tables[march_9])[:-300]
    shelf.put(1, _name(march_9), cut, day=march_9, planted="quarantined", defect="cut off before its end")
    _put(shelf, 1, october_31, tables[october_31], defect="superseded by the second wave's file")
    firmware = pa.array(["2.4.1"] * tables[november_1].num_rows)
    more = tables[november_1].append_column("firmware", firmware)
    _put(shelf, 1, november_1, more, defect="nothing wrong: an unknown column, which the feed ignores")
    renamed = tables[november_2].rename_columns(["station", *tables[november_2].column_names[1:]])
    shelf.put(1, _name(november_2), _parquet(renamed), day=november_2, planted="quarantined",
              defect="a required column was renamed")  # fmt: skip

    _put(shelf, 2, march_9, tables[march_9], defect="nothing wrong: the quarantined file, now whole")
    factor = pa.array([None if value is None else value + 1 for value in tables[october_31]["pm25"].to_pylist()])
    calibrated = tables[october_31].set_column(2, "pm25", factor.cast(pa.decimal128(6, 2)))
    _put(shelf, 2, october_31, calibrated, defect="recalibrated: supersedes the first wave's file")
    shelf.again(2, _name(november_1), _name(november_1), defect="the same content again")
    return shelf


def _name(day: date) -> str:
    return f"air_quality_{day.isoformat()}.parquet"


def _table(day: date, seed: int) -> pa.Table:
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    steps = int((end - begin) / timedelta(minutes=10))
    stations = [f"S{number:02d}" for number in range(1, (13 if day.month == 3 else 14))]
    size = steps * len(stations)
    random = np.random.default_rng([seed, 4, day.toordinal()])
    at = np.tile(np.arange(1, steps + 1), len(stations))
    station = np.repeat(np.arange(len(stations)), steps)
    pm25 = (400 + 60 * station + random.gamma(2.0, 250.0, size)).astype(np.int64)
    # S04 is being serviced on 1 November, S07 for half of 9 March.
    out = (station == 3) & (day == date(2026, 11, 1))
    out |= (station == 6) & (day == date(2026, 3, 9)) & (at > 36) & (at <= 108)
    return pa.table(
        {
            "station_id": pa.array([stations[number] for number in station.tolist()]),
            "measured_at": pa.array(
                [begin + timedelta(minutes=10 * step) for step in at.tolist()], pa.timestamp("us", tz="UTC")
            ),
            "pm25": _hundredths(pm25, out),
            "pm10": _hundredths(pm25 + random.integers(100, 900, size), out),
            "no2": pa.array(np.round(random.gamma(3.0, 6.0, size), 1)),
            "humidity": pa.array(random.integers(35, 98, size).astype(np.int8)),
        }
    )


def _hundredths(values: Any, out: Any) -> Any:
    pairs = zip(values.tolist(), out.tolist(), strict=True)
    exact = [None if missing else Decimal(value).scaleb(-2) for value, missing in pairs]
    return pa.array(exact, pa.decimal128(6, 2))


def _with(table: pa.Table, name: str, type_: pa.DataType) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, name, table[name].cast(type_))


def _changed(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.array(values, table[name].type))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=500)
    return sink.getvalue()


def _put(
    shelf: Shelf[Measurements],
    wave: int,
    day: date,
    table: pa.Table,
    rejects: tuple[PlantedReject, ...] = (),
    *,
    defect: str,
) -> None:
    refused = {reject.record for reject in rejects}
    pairs = zip(table["station_id"].to_pylist(), table["pm25"].to_pylist(), strict=True)
    values = tuple(
        (str(station), None if value is None else int(value * 100))
        for record, (station, value) in enumerate(pairs, 1)
        if record not in refused
    )
    shelf.put(wave, _name(day), _parquet(table), day=day, loaded=len(values), rejects=rejects,
              facts=Measurements(day, values), defect=defect)  # fmt: skip


def make_stations(folder: Path) -> Shelf[tuple[dict[str, Any], ...]]:
    """Writes all workbooks of the stations, for both waves."""
    shelf: Shelf[tuple[dict[str, Any], ...]] = Shelf(folder, PARTNER, "stations")
    stations = tuple(_station(number, name) for number, name in enumerate(_NAMES, 1))
    spoiled = (*stations[:12], {**stations[12], "latitude": "n/a"})
    reject = PlantedReject(record=16, column="latitude", reason="type")  # as the sheet numbers its rows
    shelf.put(1, "stations.xlsx", _workbook(spoiled), loaded=12, rejects=(reject,), facts=stations[:12],
              defect="a row without a latitude; the second wave's file supersedes it")  # fmt: skip
    shelf.put(1, "stations_draft.xlsx", _workbook(stations, owner="City of Port Meridian"),
              planted="quarantined", defect="a column that the contract doesn't have")  # fmt: skip
    shelf.put(2, "stations.xlsx", _workbook(stations), loaded=13, facts=stations,
              defect="the whole list again, its bad row corrected")  # fmt: skip
    return shelf


def _station(number: int, name: str) -> dict[str, Any]:
    return {
        "station_id": f"S{number:02d}",
        "name": name,
        "latitude": str(Decimal("43.070125") + number * Decimal("0.003511")),
        "longitude": str(Decimal("-70.760250") + number * Decimal("0.002904")),
        "opened_on": date(2012 + number % 9, 1 + number % 12, 3 + number).isoformat(),
        "active": number != 9,
    }


def _workbook(stations: Iterable[dict[str, Any]], *, owner: str | None = None) -> bytes:
    sink = io.BytesIO()
    book = xlsxwriter.Workbook(sink, {"in_memory": True})
    book.set_properties({"created": datetime(2026, 3, 1)})  # without this, two runs would give different bytes
    sheet = book.add_worksheet("Stations")
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write(0, 0, "Clear Air: monitoring stations")
    header = ["Station", "Name", "Latitude", "Longitude", "Opened", "Active", *(["Owner"] if owner else [])]
    sheet.write_row(2, 0, header)
    for row, station in enumerate(stations, 3):
        sheet.write_row(row, 0, [station["station_id"], station["name"]])
        for column, name in ((2, "latitude"), (3, "longitude")):
            sheet.write(row, column, station[name] if station[name] == "n/a" else float(station[name]))
        sheet.write_datetime(row, 4, datetime.fromisoformat(station["opened_on"]), day)
        sheet.write_row(row, 5, ["yes" if station["active"] else "no", *([owner] if owner else [])])
    book.close()
    return sink.getvalue()


def daily(days: Iterable[Measurements]) -> list[dict[str, Any]]:
    """Mean, maximum and number of the pm25 values, by station and day."""
    groups: dict[tuple[str, date], list[int]] = {}
    for day in days:
        for station, value in day.values:
            groups.setdefault((station, day.day), []).extend([] if value is None else [value])
    return [
        {
            "station_id": station,
            "local_day": day.isoformat(),
            "pm25_mean": mean(values),
            "pm25_max": str(Decimal(max(values)).scaleb(-2)) if values else None,
            "measurements": len(values),
        }
        for (station, day), values in sorted(groups.items())
    ]


def mean(hundredths: list[int]) -> str | None:
    """The mean with three decimals, rounded half up."""
    if not hundredths:
        return None
    exact = Decimal(sum(hundredths)).scaleb(-2) / len(hundredths)
    return str(exact.quantize(Decimal("0.001"), ROUND_HALF_UP))
