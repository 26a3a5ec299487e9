"""The generator's files against an independent count of them, and the answer key's sums."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from data_platform.local_cloud.demo.calendar import CITY, hours
from data_platform.local_cloud.demo.generate import SEED, Scale, generate
from data_platform.local_cloud.demo.key import AnswerKey, Drop, outcomes

Demo = tuple[Path, AnswerKey]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def loaded(key: AnswerKey, feed: str) -> list[Drop]:
    pairs = zip(key.drops, key.outcomes, strict=True)
    return [drop for drop, end in pairs if drop.feed == feed and end == "loaded"]


def records(drop: Drop, folder: Path, text: str, delimiter: str = ",") -> list[dict[str, str]]:
    """The records of a CSV that are not to be rejected, as Python's csv module reads them."""
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    refused = {reject.record for reject in drop.rejects}
    assert len(rows) == drop.rows_read, drop.path
    return [row for number, row in enumerate(rows, 1) if number not in refused]


def test_the_same_seed_gives_the_same_bytes_and_removes_other_files(demo: Demo, tmp_path: Path) -> None:
    stray = tmp_path / "wave-1" / "harbor_water" / "stray.csv"
    stray.parent.mkdir(parents=True)
    stray.write_text("from an earlier version")
    generate(tmp_path)
    assert digests(tmp_path) == digests(demo[0])


def test_another_seed_gives_other_readings(demo: Demo, tmp_path: Path) -> None:
    other = generate(tmp_path, seed=SEED + 1)
    assert other.marts != demo[1].marts


def test_the_key_can_be_read_back(demo: Demo) -> None:
    assert AnswerKey.read(demo[0]) == demo[1]


def test_the_files_are_those_of_the_key(demo: Demo) -> None:
    folder, key = demo
    named = {drop.path for drop in key.drops} | {drop.companion for drop in key.drops if drop.companion}
    assert set(digests(folder)) == named | {each.path for each in (*key.states, *key.stored)} | {
        "answer_key.json",
        "address_book.json",
    }
    for state in key.states:
        assert hashlib.sha256((folder / state.path).read_bytes()).hexdigest() == state.sha256
    for drop in key.drops:
        content = (folder / drop.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (drop.bytes, drop.sha256)


def test_a_scale_that_would_drown_in_its_defects_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 150"):
        Scale(meters=20, sessions_a_day=400)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(Scale, meters=st.integers(150, 600), sessions_a_day=st.integers(150, 800)), st.integers(0, 99))
def test_the_key_adds_up_at_every_scale(tmp_path: Path, scale: Scale, seed: int) -> None:
    key = generate(tmp_path, scale, seed)
    for totals in (*key.totals.values(), *key.totals_again.values()):
        assert totals.landed == totals.loaded + totals.duplicate + totals.superseded + totals.quarantined
        assert totals.rows_read == totals.rows_loaded + totals.rejects
    for table in key.databases.values():
        assert table.rows_read == table.rows_loaded + table.rejects
    for drop in key.drops:
        assert drop.rows_read == drop.rows_loaded + len(drop.rejects)
    assert sum(totals.landed for totals in key.totals.values()) + len(key.stays) == len(key.drops)
    assert key.tables["harbor_water/meter_readings"] == sum(
        day["readings"] for day in key.marts["fct_meter_readings_daily"]["by_day"].values()
    )
    # 20 sessions come a second time and are merged.
    sessions = "meridian_parking/parking_sessions"
    assert key.tables[sessions] == key.totals[sessions].rows_loaded - 20


def test_dropping_everything_again_ends_with_the_same_files_loaded(demo: Demo) -> None:
    drops = demo[1].drops
    once, twice = outcomes(drops), outcomes([*drops, *drops])

    def contents(of: list[str | None]) -> set[tuple[str, str]]:
        both = zip([*drops, *drops][: len(of)], of, strict=True)
        return {(drop.path, drop.sha256) for drop, end in both if end == "loaded"}

    assert contents([*once]) == contents([*twice])


def test_content_whose_rows_were_overwritten_is_loaded_when_it_comes_again(demo: Demo) -> None:
    of_parking = [drop for drop in demo[1].drops if "parking" in drop.path and drop.planted == "good"]
    whole, corrections = of_parking[0], next(drop for drop in of_parking if "_corrections" in drop.path)
    merged = {whole.path: {"a", "b"}, corrections.path: {"b"}}
    twice = [whole, corrections, whole, corrections]
    assert outcomes(twice, merged) == ["superseded", "superseded", "loaded", "loaded"]
    assert outcomes(twice) == ["loaded", "loaded", "duplicate", "duplicate"]


def test_within_a_wave_the_order_makes_no_difference(demo: Demo) -> None:
    key = demo[1]
    backwards = [drop for wave in key.waves for drop in reversed(wave)]
    ends = dict(zip((drop.path for drop in backwards), outcomes(backwards), strict=True))
    assert [ends[drop.path] for drop in key.drops] == list(key.outcomes)


def test_every_hour_that_happened_has_a_file_but_the_one_that_never_comes(demo: Demo) -> None:
    names = {drop.file_name for drop in demo[1].drops if drop.wave == 1}
    stamps = [hour.stamp for hour in hours()]
    assert Counter(stamp[:8] for stamp in stamps)["20260308"] == 23
    assert Counter(stamp[:8] for stamp in stamps)["20261101"] == 25
    assert {"20261101T01-0400", "20261101T01-0500"} < set(stamps)
    missing = [hour.start for hour in hours() if f"readings_{hour.stamp}.csv" not in names]
    assert missing == [demo[1].missed["harbor_water/meter_readings"]]


def test_the_water_of_each_day_is_what_python_counts(demo: Demo) -> None:
    folder, key = demo
    litres: defaultdict[str, Decimal] = defaultdict(Decimal)
    meters: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for drop in loaded(key, "harbor_water/meter_readings"):
        content = (folder / drop.path).read_bytes().decode("utf-8-sig", errors="replace")
        for row in records(drop, folder, content):
            day = datetime.fromisoformat(row["read_at"]).astimezone(CITY).date().isoformat()
            assert day == drop.partition
            litres[day] += Decimal(row["litres"])
            meters[row["meter_id"], day].append(Decimal(row["litres"]))
    mart = key.marts["fct_meter_readings_daily"]
    assert {day: Decimal(counts["litres"]) for day, counts in mart["by_day"].items()} == litres
    assert mart["rows"] == len(meters)
    for day, counts in mart["by_day"].items():
        for sample in counts["first_meters"]:
            amounts = meters[sample["meter_id"], day]
            assert (Decimal(sample["litres"]), sample["readings"]) == (sum(amounts), len(amounts))


def test_no_meter_is_read_twice_at_the_same_time(demo: Demo) -> None:
    folder, key = demo
    seen: Counter[tuple[str, str]] = Counter()
    for drop in loaded(key, "harbor_water/meter_readings"):
        content = (folder / drop.path).read_bytes().decode("utf-8-sig", errors="replace")
        seen.update((row["meter_id"], row["read_at"]) for row in records(drop, folder, content))
    assert max(seen.values()) == 1
    assert len(seen) == key.tables["harbor_water/meter_readings"]


def test_the_parking_of_each_day_is_what_python_counts(demo: Demo) -> None:
    folder, key = demo
    sessions: dict[str, tuple[str, str, Decimal]] = {}
    for drop in loaded(key, "meridian_parking/parking_sessions"):
        for row in records(drop, folder, gzip.decompress((folder / drop.path).read_bytes()).decode(), ";"):
            day = datetime.strptime(row["started_at"], "%d.%m.%Y %H:%M:%S").date().isoformat()
            assert day == drop.partition
            sessions[row["session_id"]] = (day, row["zone"], Decimal((row["fee"] or "0").replace(",", ".")))
    assert len(sessions) == key.tables["meridian_parking/parking_sessions"]
    groups: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for day, zone, fee in sessions.values():
        groups[day, zone].append(fee)
    assert [
        {"local_day": day, "zone": zone, "sessions": len(fees), "revenue": str(sum(fees, Decimal("0.00")))}
        for (day, zone), fees in sorted(groups.items())
    ] == key.marts["fct_parking_daily"]


def test_a_manifest_agrees_with_its_file_unless_it_is_the_defect(demo: Demo) -> None:
    folder, key = demo
    for drop in key.drops:
        if drop.companion is not None and drop.planted == "good":
            manifest = json.loads((folder / drop.companion).read_text())
            assert manifest == {
                "file": drop.file_name,
                "rows": drop.rows_read,
                "bytes": drop.bytes,
                "sha256": drop.sha256,
            }


def test_the_air_of_each_day_is_what_python_counts(demo: Demo) -> None:
    folder, key = demo
    values: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for drop in loaded(key, "clear_air/air_quality"):
        refused = {reject.record for reject in drop.rejects}
        for number, row in enumerate(pq.read_table(folder / drop.path).to_pylist(), 1):
            if number not in refused:
                begun = row["measured_at"].timestamp() - 600
                assert datetime.fromtimestamp(begun, CITY).date() == date.fromisoformat(drop.partition or "")
                values[row["station_id"], drop.partition or ""] += [row["pm25"]] if row["pm25"] is not None else []
    mart = {(row["station_id"], row["local_day"]): row for row in key.marts["fct_air_quality_daily"]}
    assert set(mart) == set(values)
    for where, row in mart.items():
        own = values[where]
        assert row["measurements"] == len(own)
        assert row["pm25_max"] == (str(max(own).quantize(Decimal("0.01"))) if own else None)
        if own:
            # A mean next to a half would round one way in decimals and the other in doubles.
            exact = sum(own, Decimal()) / len(own)
            assert abs(exact - Decimal(row["pm25_mean"])) < Decimal("0.000499999")


def test_the_stations_are_those_of_the_last_workbook(demo: Demo) -> None:
    folder, key = demo
    sheet = CalamineWorkbook.from_path(str(folder / "wave-2/clear_air/stations.xlsx")).get_sheet_by_name("Stations")
    rows = sheet.to_python(skip_empty_area=False)
    header = [str(cell) for cell in rows[2]]
    assert header == ["Station", "Name", "Latitude", "Longitude", "Opened", "Active"]
    assert [
        {
            "station_id": row[0],
            "name": row[1],
            "latitude": repr(row[2]),
            "longitude": repr(row[3]),
            "opened_on": str(row[4])[:10],
            "active": row[5] == "yes",
            "listed": True,
        }
        for row in rows[3:]
    ] == [
        {**row, "latitude": repr(float(row["latitude"])), "longitude": repr(float(row["longitude"]))}
        for row in key.marts["dim_stations"]
    ]


def test_small_files_are_named(demo: Demo) -> None:
    small = set(demo[1].small)
    assert {"harbor_water/readings_20260309T08-0400.csv", "meridian_parking/sessions_20261102.csv.gz"} < small
    assert "harbor_water/readings_20260308T11-0400.csv" in small  # a header and no rows
