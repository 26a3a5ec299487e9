"""Generates all partners' files, the register's rows and the answer key from a fixed seed: `generate(folder, SMALL)`.

The modules of the feeds (`water`, `parking`, `air`, `records`) make the files and their defects.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data_platform.local_cloud.demo import air, parking, programmes, readings, records, water
from data_platform.local_cloud.demo.calendar import DAYS, hours, midnight
from data_platform.local_cloud.demo.key import AnswerKey, Drop, FeedTotals, outcomes, small_files, totals
from data_platform.local_cloud.demo.shelf import Shelf
from data_platform.local_cloud.web.address_book import AddressBook

SEED = 20260307
Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Scale:
    """The demo's size: meters that report each hour, and parking sessions per day. Every scale has the same files and
    defects. With fewer than 150 of either, the planted bad rows would exceed the feeds' reject limits."""

    meters: int
    sessions_a_day: int

    def __post_init__(self) -> None:
        if self.meters < 150 or self.sessions_a_day < 150:
            raise ValueError(f"{self}: at least 150 meters and 150 sessions a day")

    @property
    def addresses(self) -> int:
        """The register's addresses."""
        return 20_000 + 4 * self.meters

    @property
    def permits(self) -> int:
        """The register's permits."""
        return 1_000 + 2 * self.meters


SMALL = Scale(meters=150, sessions_a_day=400)
LARGE = Scale(meters=15_000, sessions_a_day=20_000)
SCALES = {"small": SMALL, "large": LARGE}


def generate(folder: Path, scale: Scale = SMALL, seed: int = SEED) -> AnswerKey:
    """Writes `wave-<n>/<partner>/<file>` and `answer_key.json` into `folder`, and removes an earlier call's files. The
    same scale and seed give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for wave in folder.glob("wave-*"):
        shutil.rmtree(wave)
    meters = water.make(folder, scale.meters, seed)
    sessions = parking.make(folder, scale.sessions_a_day, seed)
    measurements = air.make_measurements(folder, seed)
    stations = air.make_stations(folder)
    register = records.make(folder, scale.addresses, scale.permits, seed)
    AddressBook.write(register.entries, folder / records.BOOK)
    community = programmes.make(folder, seed)

    shelves: list[Shelf[Any]] = [meters, sessions, measurements, stations]
    drops = sorted((drop for shelf in shelves for drop, _ in shelf.made), key=lambda drop: drop.wave)
    merged = {drop.path: {session.session_id for session in facts or ()} for drop, facts in sessions.made}
    ends = outcomes(drops, merged)
    loaded = {drop.path for drop, end in zip(drops, ends, strict=True) if end == "loaded"}
    table = parking.merged(_loaded(sessions, loaded))
    air_days = _loaded(measurements, loaded)
    counts = totals(drops, ends)
    key = AnswerKey(
        seed=seed,
        meters=scale.meters,
        sessions_a_day=scale.sessions_a_day,
        drops=tuple(drops),
        outcomes=tuple(ends),
        totals=counts,
        totals_again=_twice(drops, merged),
        states=register.states,
        stored=community.stored,
        databases=register.totals | community.totals,
        geocoded=register.geocoded,
        tables={
            **register.tables,
            **community.tables,
            **{feed: count.rows_loaded for feed, count in counts.items()},
            f"{parking.PARTNER}/{parking.FEED}": len(table),
        },
        missed={
            f"{water.PARTNER}/{water.FEED}": next(hour.start for hour in hours() if hour.stamp == water.MISSED),
            f"{parking.PARTNER}/{parking.FEED}": midnight(parking.MISSED),
        },
        small=small_files(drops, ends),
        instants=parking.AMBIGUOUS,
        marts=_marts(
            readings.daily(_loaded(meters, loaded), scale.meters),
            parking.daily(table.values()),
            air_days,
            _loaded(stations, loaded)[-1],
        )
        | register.marts
        | {"grants_by_neighborhood": community.by_neighborhood},
        published={
            "carto/parks": register.tables["city_records/parks"],
            "carto/service_requests": len(register.marts["fct_service_requests"]),
            "files/stations": len(_loaded(stations, loaded)[-1]),
        },
    )
    key.write(folder)
    return key


def _loaded(shelf: Shelf[Facts], paths: set[str]) -> list[Facts]:
    return [facts for drop, facts in shelf.made if drop.path in paths and facts is not None]


def _twice(drops: list[Drop], merged: Mapping[str, Collection[str]]) -> dict[str, FeedTotals]:
    both = [*drops, *drops]
    return totals(both, outcomes(both, merged))


def _marts(
    water_days: dict[Any, dict[str, Any]],
    parking_days: list[dict[str, Any]],
    air_days: Iterable[air.Measurements],
    stations: tuple[dict[str, Any], ...],
) -> dict[str, Any]:
    values = {day.day: [value for _, value in day.values if value is not None] for day in air_days}
    return {
        "fct_meter_readings_daily": {
            "rows": sum(day["meters"] for day in water_days.values()),
            "by_day": {day.isoformat(): counts for day, counts in water_days.items()},
        },
        "fct_parking_daily": parking_days,
        "fct_air_quality_daily": air.daily(air_days),
        "dim_stations": [{**station, "listed": True} for station in stations],
        "city_daily": [
            {
                "local_day": day.isoformat(),
                "litres": water_days[day]["litres"],
                **parking.totals(row for row in parking_days if row["local_day"] == day.isoformat()),
                "pm25_mean": air.mean(values.get(day, [])),
            }
            for day in DAYS
        ],
    }
