from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path

import duckdb
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore

from data_platform.lake import parts
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, ManifestError
from data_platform_tests.lake.rows import KEY, SCHEMA, batch, committed, lake_in_memory, rejects


def paths(lake: Lake) -> list[str]:
    return sorted(str(item["path"]) for item in chain.from_iterable(obstore.list(lake.store)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9999), max_size=9), max_size=6), st.sampled_from([1, 10**9]))
def test_rows_come_back_in_order_with_their_extract_whatever_the_batches(
    batches: list[list[int]], part_bytes: int
) -> None:
    lake = lake_in_memory(part_bytes)
    manifest = lake.write_extract(KEY, SCHEMA, [batch(*numbers) for numbers in batches], contract_hash="h")
    numbers = [number for each in batches for number in each]
    assert manifest.rows == sum(file.rows for file in manifest.files) == len(numbers)
    table = lake.read_rows(manifest)
    assert table.column_names == ["meter_id", "litres", "_extract_id", "_extracted_at"]
    if numbers:
        assert table["meter_id"].to_pylist() == [f"meter {number}" for number in numbers]
        assert set(table["_extract_id"].to_pylist()) == {KEY.extract_id}
        assert set(table["_extracted_at"].to_pylist()) == {manifest.started_at}
        assert table.schema.field("_extracted_at").type == pa.timestamp("us", tz="UTC")
        assert table.schema.field("litres").type == pa.decimal128(12, 3)


def test_parts_are_closed_at_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_ROW_GROUP_ROWS", 100)
    lake = lake_in_memory(part_bytes=1)
    manifest = lake.write_extract(
        KEY, SCHEMA, [batch(*range(start, start + 50)) for start in range(0, 450, 50)], contract_hash="h"
    )
    assert [file.rows for file in manifest.files] == [100, 100, 100, 100, 50]
    assert [file.path.split("/")[-1][:11] for file in manifest.files] == [f"part-0000{n}-" for n in range(5)]
    assert lake.read_rows(manifest, columns=["litres"], limit=120).num_rows == 120


def test_files_are_zstd_parquet_with_microsecond_utc_times(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    manifest = lake.write_extract(KEY, SCHEMA, [batch(1, 2)], contract_hash="h")
    metadata = pq.read_metadata(tmp_path / manifest.files[0].path)
    group = metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
    assert (
        str(metadata.schema.column(3).logical_type)
        .replace(" ", "")
        .startswith("Timestamp(isAdjustedToUTC=true,timeUnit=microseconds")
    )


def test_only_columns_whose_values_repeat_have_a_dictionary_and_duckdb_reads_what_pyarrow_reads(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    types = {"id": pa.string(), "status": pa.string(), "day": pa.date32(), "flow": pa.decimal128(12, 3)}
    schema = pa.schema([*map(pa.field, types, types.values()), pa.field("read_at", pa.timestamp("us", "UTC"))])
    day = date(2026, 3, 7)
    rows = [
        (f"PM-{n}", ("ok", "fault", None)[n % 3], day, Decimal(n) / 8, datetime(2026, 3, 7, n % 24, tzinfo=UTC))
        for n in range(3_000)
    ]
    batch = pa.RecordBatch.from_arrays(list(map(pa.array, zip(*rows, strict=True), schema.types)), schema=schema)
    manifest = lake.write_extract(KEY, schema, [batch], contract_hash="h")
    path = tmp_path / manifest.files[0].path
    group = pq.read_metadata(path).row_group(0)
    encodings = {group.column(n).path_in_schema: set(group.column(n).encodings) for n in range(group.num_columns)}
    assert {name for name, found in encodings.items() if "RLE_DICTIONARY" in found} == (
        {"status", "day", "read_at", "_extract_id", "_extracted_at"}
    )
    assert set().union(*encodings.values()) == {"PLAIN", "RLE", "RLE_DICTIONARY"}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    found = connection.execute(f"SELECT id, status, day, flow, epoch_us(read_at) FROM '{path}'").fetchall()
    assert found == [(*row[:4], int(row[4].timestamp()) * 10**6) for row in rows]
    assert [tuple(row.values())[:5] for row in lake.read_rows(manifest).to_pylist()] == rows


def test_an_extract_without_rows_is_an_extract() -> None:
    lake = lake_in_memory()
    manifest = lake.write_extract(KEY, SCHEMA, [], contract_hash="h", position_to={"at": 7})
    assert (manifest.rows, manifest.files, manifest.position_to) == (0, (), {"at": 7})
    assert lake.read_manifest(KEY) == manifest
    assert lake.read_rows(manifest).num_rows == 0


def test_so_many_rows_are_read_whatever_parts_hold_them() -> None:
    lake = lake_in_memory()
    manifest = lake.write_extract(KEY, SCHEMA, [batch(1, 2, 3), batch(4, 5)], contract_hash="h")
    for limit in range(7):
        found = lake.read_rows(manifest, columns=["meter_id"], limit=limit)
        assert found["meter_id"].to_pylist() == [f"meter {number}" for number in range(1, 6)][:limit]


def test_rejects_are_kept_with_whose_they_are() -> None:
    lake = lake_in_memory()
    manifest = lake.write_extract(
        KEY,
        SCHEMA,
        [batch(1)],
        rejects=[rejects(2, 3)],
        contract_hash="h",
        origin={"delivery_id": "d1"},
        reject_columns=["delivery_id"],
    )
    assert manifest.rejects == 2
    table = lake.read_rejects(manifest)
    assert table is not None
    assert table.to_pylist()[0] == {
        "extract_id": KEY.extract_id,
        "delivery_id": "d1",
        "source": "harbor_water",
        "table_name": "meter_readings",
        "record_number": 2,
        "column_name": "litres",
        "reason": "not a number",
        "raw_text": "meter 2,many",
    }


def test_a_batch_of_other_columns_is_refused_and_nothing_stays() -> None:
    lake = lake_in_memory()
    with pytest.raises(ValueError, match="expected meter_id string, litres decimal128"):
        lake.write_extract(KEY, SCHEMA, [batch(1), pa.record_batch({"meter_id": ["x"]})], contract_hash="h")
    assert paths(lake) == []


def test_leaving_without_commit_deletes_what_was_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_ROW_GROUP_ROWS", 1)
    lake = lake_in_memory()
    with lake.extract(KEY, SCHEMA, contract_hash="h") as writer:
        writer.write(batch(1))
        writer.write(batch(2))
        writer.reject(rejects(3))
    assert paths(lake) == []
    assert lake.read_manifest(KEY) is None


def test_a_second_try_returns_what_the_first_has_committed_without_reading_again() -> None:
    lake = lake_in_memory()
    first = lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    before = paths(lake)

    def unread() -> Iterator[pa.RecordBatch]:
        yield batch(2)
        raise AssertionError("the source was read again")

    second = lake.write_extract(KEY, SCHEMA, unread(), contract_hash="h")
    assert second == first
    assert paths(lake) == before


def test_of_two_at_once_the_first_to_commit_has_it_and_the_other_leaves_nothing() -> None:
    lake = lake_in_memory()
    with (
        lake.extract(KEY, SCHEMA, contract_hash="h") as slow,
        lake.extract(KEY, SCHEMA, contract_hash="h") as fast,
    ):
        slow.write(batch(1, 2))
        fast.write(batch(1, 2))
        winner = fast.commit()
        assert slow.commit() == winner
    assert lake.read_rows(winner)["meter_id"].to_pylist() == ["meter 1", "meter 2"]
    assert paths(lake) == sorted([KEY.manifest_path, *(file.path for file in winner.files)])


def test_a_commit_whose_answer_was_lost_is_found_to_be_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_in_memory()
    real_put = obstore.put

    def put_twice(store: object, path: str, *rest: object, **options: object) -> object:
        if options.get("mode") == "create":  # as a client does that sends a request again
            real_put(store, path, *rest, **options)  # type: ignore[arg-type]
        return real_put(store, path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(obstore, "put", put_twice)
    manifest = lake.write_extract(KEY, SCHEMA, [batch(5)], contract_hash="h")
    assert lake.read_rows(manifest)["meter_id"].to_pylist() == ["meter 5"]


def test_an_upload_that_fails_fails_the_extract(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_in_memory()

    def broken(store: object, path: str, *rest: object, **options: object) -> object:
        raise OSError("disk full")

    monkeypatch.setattr(obstore, "put", broken)
    with pytest.raises(OSError, match="disk full"):
        lake.write_extract(KEY, SCHEMA, [batch(5)], contract_hash="h")
    assert paths(lake) == []


def test_what_failed_is_told_though_what_was_uploaded_cannot_be_deleted_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_ROW_GROUP_ROWS", 1)
    lake = lake_in_memory()

    def lost(*arguments: object) -> None:
        raise TimeoutError("no answer")

    def one_broken() -> Iterator[pa.RecordBatch]:
        yield from map(batch, range(4))  # two are on their way at a time, so that some have arrived
        raise ValueError("the file is cut off")

    monkeypatch.setattr(obstore, "delete", lost)
    with pytest.raises(ValueError, match="cut off"):
        lake.write_extract(KEY, SCHEMA, one_broken(), contract_hash="h")
    assert paths(lake) != []  # orphans, for `sweep.py`


def test_a_file_that_was_changed_is_not_read() -> None:
    lake = lake_in_memory()
    manifest = lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    obstore.put(lake.store, manifest.files[0].path, b"other bytes")
    with pytest.raises(ManifestError, match="SHA-256 differs"):
        lake.read_rows(manifest)


def test_unloaded_extracts_are_listed_by_feed() -> None:
    lake = lake_in_memory()
    keys = [
        ExtractKey("s", "a", "e1", "2026-03-08"),
        ExtractKey("s", "a", "e2", "2026-03-09"),
        ExtractKey("s", "ab", "e3"),
    ]
    for key in keys:
        lake.mark_unloaded(key)
        lake.write_extract(key, SCHEMA, [batch(1)], contract_hash="h")
    assert {m.extract_id for m in lake.unloaded("s", "a")} == {"e1", "e2"} == committed(lake, "s", "a")
    assert [m.key for m in lake.unloaded("s", "ab")] == [keys[2]]
    lake.mark_loaded(keys[:1])
    assert {m.extract_id for m in lake.unloaded("s", "a")} == {"e2"}


def test_a_manifest_whose_answer_is_lost_keeps_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_in_memory()
    put = obstore.put

    def lost(store: object, path: str, *args: object, **options: object) -> object:
        done = put(store, path, *args, **options)  # type: ignore[arg-type]
        if path.endswith("manifest.json"):
            raise TimeoutError("no answer")
        return done

    monkeypatch.setattr(obstore, "put", lost)
    with pytest.raises(TimeoutError):
        lake.write_extract(KEY, SCHEMA, [batch(1, 2)], contract_hash="h")
    monkeypatch.undo()
    again = lake.write_extract(KEY, SCHEMA, [batch(3)], contract_hash="h")
    assert lake.read_rows(again).num_rows == 2
