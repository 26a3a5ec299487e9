"""Every file of the demo, read as the platform reads it, comes to what the answer key says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import LandingError
from data_platform.landing.read import DeliveryReader
from data_platform.landing.stated import disagreement
from data_platform.local_cloud.demo.key import AnswerKey, Drop

Demo = tuple[Path, AnswerKey]

# What a reject's reason says, where the key says the word.
SAYS = {
    "encoding": r"is not utf-8",
    "fields": r"expected \d+ fields, found \d+",
    "missing": r"is null",
    "type": r"is not|doesn't follow",
    "range": r"is outside|digits before the decimal mark",
    "digits": r"digits after the decimal mark",
    "nonexistent_time": r"doesn't exist in America/New_York",
    "boolean": r"is not a boolean; expected one of",
    "json": r"is not valid JSON",
}


@dataclass(frozen=True)
class Read:
    """A file as the platform reads it; `refused` says why it is quarantined."""

    rows: pa.Table | None = None
    rejects: tuple[tuple[int, str | None, str], ...] = ()
    refused: str | None = None


def read(drop: Drop, folder: Path, rules: FileFeedSpec) -> Read:
    try:
        with (folder / drop.path).open("rb") as stream:
            reader = DeliveryReader(stream, rules, file_name=drop.file_name)
            chunks = list(reader)
    except LandingError as error:
        return Read(refused=str(error))
    assert (reader.content_bytes, reader.content_sha256) == (drop.bytes, drop.sha256)
    rejects = tuple(
        (row["record_number"], row["column_name"], row["reason"])
        for chunk in chunks
        for row in chunk.rejects.to_pylist()
    )
    assert len(rejects) == reader.rows_rejected
    refused = rules.reject_limit.exceeded(reader.rows_rejected, reader.rows_read)
    if drop.companion is not None:
        manifest = (folder / drop.companion).read_bytes()
        found = {"file": drop.file_name, "rows": reader.rows_read, "bytes": drop.bytes, "sha256": drop.sha256}
        refused = refused or disagreement(manifest, drop.companion, found)
    return Read(pa.Table.from_batches([chunk.batch for chunk in chunks], reader.schema), rejects, refused)


@pytest.fixture(scope="module")
def everything(demo: Demo, feeds: dict[str, FileFeedSpec]) -> list[tuple[Drop, Read]]:
    folder, key = demo
    return [(drop, read(drop, folder, feeds[drop.feed])) for drop in key.drops if drop.feed is not None]


def loaded(everything: list[tuple[Drop, Read]], key: AnswerKey, feed: str) -> pa.Table:
    """The rows of a feed's files that are loaded in the end."""
    ends = dict(zip((drop.path for drop in key.drops), key.outcomes, strict=True))
    tables = [was.rows for drop, was in everything if drop.feed == feed and ends[drop.path] == "loaded"]
    return pa.concat_tables([table for table in tables if table is not None], promote_options="default")


def test_what_is_refused_is_refused_and_nothing_else(everything: list[tuple[Drop, Read]]) -> None:
    for drop, was in everything:
        assert (was.refused is not None) == (drop.planted == "quarantined"), (drop.path, drop.defect, was.refused)


def test_every_row_is_accounted_for(everything: list[tuple[Drop, Read]]) -> None:
    for drop, was in everything:
        if drop.planted == "good":
            assert was.rows is not None
            assert (was.rows.num_rows, len(was.rejects)) == (drop.rows_loaded, len(drop.rejects)), drop.path


def test_every_planted_row_is_rejected_for_its_own_reason(everything: list[tuple[Drop, Read]]) -> None:
    for drop, was in everything:
        if drop.planted == "good":
            planted = sorted(drop.rejects, key=lambda reject: reject.record)
            assert [(record, column) for record, column, _ in was.rejects] == [
                (reject.record, reject.column) for reject in planted
            ], (drop.path, was.rejects)
            for reject, (_, _, reason) in zip(planted, was.rejects, strict=True):
                assert re.search(SAYS[reject.reason], reason), (drop.path, reject, reason)


def test_the_water_of_each_day_is_the_keys(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    ends = dict(zip((drop.path for drop in demo[1].drops), demo[1].outcomes, strict=True))
    litres: dict[str, Decimal] = {}
    for drop, was in everything:
        if drop.feed == "harbor_water/meter_readings" and ends[drop.path] == "loaded":
            assert was.rows is not None and drop.partition is not None
            litres[drop.partition] = litres.get(drop.partition, Decimal()) + (
                pc.sum(was.rows["litres"]).as_py() or Decimal()
            )
    by_day = demo[1].marts["fct_meter_readings_daily"]["by_day"]
    assert {day: str(total) for day, total in litres.items()} == {day: each["litres"] for day, each in by_day.items()}


def test_a_column_that_came_later_is_text_and_null_before(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    rows = loaded(everything, demo[1], "harbor_water/meter_readings")
    assert rows.num_rows == demo[1].tables["harbor_water/meter_readings"]
    with_signal = rows.filter(pc.is_valid(rows["signal_dbm"]))
    assert rows["signal_dbm"].type == pa.string()
    assert pc.min(with_signal["read_at"]).as_py() > datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert with_signal.num_rows == 49 * demo[1].meters


def test_remarks_keep_quotes_commas_line_ends_and_emptiness(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    rows = loaded(everything, demo[1], "harbor_water/meter_readings")
    one_file_has = {"Dog. Come back"}
    assert set(rows["comment"].to_pylist()) - one_file_has == {
        *(None, "", "Box flooded, pumped out", 'Lid says "do not open"', "Relevé à la main", "Dog.\nCome back", "水"),
    }


def test_the_parking_revenue_of_each_day_is_the_keys(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    rows = loaded(everything, demo[1], "meridian_parking/parking_sessions")
    last = {row["session_id"]: row for row in rows.to_pylist()}
    assert len(last) == demo[1].tables["meridian_parking/parking_sessions"]
    revenue = sum((row["fee"] or Decimal() for row in last.values()), Decimal())
    days = [row["parking_revenue"] for row in demo[1].marts["city_daily"] if row["parking_revenue"]]
    assert revenue == sum(map(Decimal, days))


def test_a_wall_time_that_occurs_twice_is_the_instant_that_the_feed_says(
    everything: list[tuple[Drop, Read]], demo: Demo
) -> None:
    rows = loaded(everything, demo[1], "meridian_parking/parking_sessions")
    found = {
        row["session_id"]: (row["started_at"], row["ended_at"])
        for row in rows.to_pylist()
        if row["session_id"] in demo[1].instants
    }
    assert found == {
        session: (datetime.fromisoformat(start), datetime.fromisoformat(end))
        for session, (start, end) in demo[1].instants.items()
    }


def test_the_fine_particles_are_the_keys(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    rows = loaded(everything, demo[1], "clear_air/air_quality")
    assert rows.num_rows == demo[1].tables["clear_air/air_quality"]
    mart = demo[1].marts["fct_air_quality_daily"]
    assert rows["pm25"].type == pa.decimal128(6, 2)
    assert len(rows) - rows["pm25"].null_count == sum(row["measurements"] for row in mart)
    assert str(pc.max(rows["pm25"]).as_py()) == max((row["pm25_max"] or "0" for row in mart), key=Decimal)


def test_the_stations_are_the_keys(everything: list[tuple[Drop, Read]], demo: Demo) -> None:
    rows = loaded(everything, demo[1], "clear_air/stations").drop_columns(["_record_number"])
    assert [
        {name: str(value) if not isinstance(value, bool) else value for name, value in row.items()} | {"listed": True}
        for row in rows.to_pylist()
    ] == demo[1].marts["dim_stations"]
