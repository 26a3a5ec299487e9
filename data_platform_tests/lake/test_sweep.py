"""What a sweep of the lake deletes, and what it must not."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import obstore
import pytest

from data_platform.lake import sweep as sweep_module
from data_platform.lake.extracts import UNLOADED, Lake
from data_platform.lake.sweep import Swept, sweep
from data_platform_tests.lake.rows import KEY, SCHEMA, batch, lake_in_memory, rejects

DAYS = timedelta(days=90)


def paths(lake: Lake) -> list[str]:
    return sorted(item.path for item in lake.objects(""))


def swept(lake: Lake, *needed: str, days_later: float = 100) -> Swept:
    def among(ids: Sequence[str]) -> Set[str]:
        return set(ids) & set(needed)

    return sweep(lake, now=datetime.now(UTC) + timedelta(days=days_later), extracts_after=DAYS, needed=among)


def test_extracts_in_no_table_go_after_their_time_with_everything_in_them() -> None:
    lake = lake_in_memory()
    for name in ("in a table", "replaced"):
        key = replace(KEY, extract_id=name)
        lake.write_extract(key, SCHEMA, [batch(1), batch(2)], rejects=[rejects(3)], contract_hash="h")
    everything = paths(lake)
    assert (swept(lake, "in a table", days_later=89), paths(lake)) == (Swept(), everything)
    done = swept(lake, "in a table")
    assert (done.extracts, done.objects, done.orphans) == (1, 3, 0)
    assert done.bytes > 0
    assert paths(lake) == [path for path in everything if "/in a table/" in path]


def test_what_no_manifest_commits_goes_after_two_days() -> None:
    lake = lake_in_memory()
    committed = lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    left = [KEY.prefix + "part-00000-beef.parquet", "extracts/s/t/all/e9/part-00000-cafe.parquet"]
    for path in left:
        obstore.put(lake.store, path, b"left by a killed try")
    assert (swept(lake, days_later=1), swept(lake, days_later=3)) == (Swept(), Swept(orphans=2, objects=2, bytes=40))
    assert paths(lake) == sorted([KEY.manifest_path, committed.files[0].path])


def test_an_old_extract_that_is_kept_loses_its_orphans_too() -> None:
    lake = lake_in_memory()
    lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    obstore.put(lake.store, KEY.prefix + "part-00000-beef.parquet", b"left by a killed try")
    assert (swept(lake, KEY.extract_id).orphans, len(paths(lake))) == (1, 2)


def test_what_is_not_loaded_yet_stays_however_old() -> None:
    lake = lake_in_memory()
    lake.mark_unloaded(KEY)
    lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    lake.mark_unloaded(replace(KEY, extract_id="never committed"))
    assert swept(lake).extracts == 0
    assert [each.extract_id for each in lake.unloaded(KEY.source, KEY.table)] == [KEY.extract_id]
    assert len(list(lake.objects(f"{UNLOADED}/"))) == 1


def test_a_sweep_that_is_cut_off_leaves_no_manifest_without_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_in_memory()
    lake.write_extract(KEY, SCHEMA, [batch(1)], contract_hash="h")
    delete, calls = Lake.delete, []

    def once(self: Lake, found: list[str]) -> None:
        if calls:
            raise ConnectionError
        calls.append(found)
        delete(self, found)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "delete", once)
        with pytest.raises(ConnectionError):
            swept(lake)
    assert lake.read_manifest(KEY) is None
    assert swept(lake).orphans == 1
    assert paths(lake) == []


def test_thousands_are_asked_about_a_thousand_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "_AT_ONCE", 2)
    lake = lake_in_memory()
    for name in "abcde":
        lake.write_extract(replace(KEY, extract_id=name), SCHEMA, [batch(1)], contract_hash="h")
    assert swept(lake, "c").extracts == 4
