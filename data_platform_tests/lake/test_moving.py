"""A feed's extracts get its new name, also if the copying is cut off."""

from __future__ import annotations

from typing import Any

import obstore
import pyarrow as pa
import pytest

from data_platform.lake import moving
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.lake.moving import Stored, copy_extracts, delete_extracts, stored
from data_platform_tests.lake.rows import lake_in_memory, rejects


@pytest.fixture
def lake() -> Lake:
    """Three extracts, of which one isn't loaded, and those of a feed with a longer name."""
    lake = lake_in_memory()
    for table in ("lifts", "lifts_daily"):
        for day in ("2026-06-01", "2026-06-02", None):
            key = ExtractKey("cranes", table, f"e{day}", day)
            lake.mark_unloaded(key)
            rows = pa.record_batch({"lift": [f"{day}-1", f"{day}-2"]})
            lake.write_extract(key, rows.schema, [rows], rejects=[rejects(3)], contract_hash="1f")
            if day:
                lake.mark_loaded([key])
    return lake


def test_each_extract_is_there_under_the_new_name_with_its_rows_and_mark(lake: Lake) -> None:
    before = stored(lake, "cranes", "lifts")
    copy_extracts(lake, "cranes", "lifts", "hoists")
    delete_extracts(lake, "cranes", "lifts")
    assert stored(lake, "cranes", "lifts") == Stored()
    after = stored(lake, "cranes", "hoists")
    assert (after.extracts, after.objects, after.unloaded) == (before.extracts, before.objects, 1)
    for day in ("2026-06-01", "2026-06-02"):
        manifest = lake.read_manifest(ExtractKey("cranes", "hoists", f"e{day}", day))
        assert manifest is not None
        assert lake.read_rows(manifest)["lift"].to_pylist() == [f"{day}-1", f"{day}-2"]
        found = lake.read_rejects(manifest)
        assert found is not None and found.num_rows == 1
    assert [each.extract_id for each in lake.unloaded("cranes", "hoists")] == ["eNone"]
    assert stored(lake, "cranes", "lifts_daily").extracts == 3


@pytest.mark.parametrize("copies", range(6))
def test_cut_off_at_any_copy_it_goes_on(lake: Lake, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    copy = obstore.copy

    def cut(*given: Any) -> None:
        if len(done) >= copies:
            raise ConnectionError("cut off")
        done.append(given)
        copy(*given)

    monkeypatch.setattr(moving.obstore, "copy", cut)
    monkeypatch.setattr(moving, "_AT_ONCE", 1)
    with pytest.raises(ConnectionError):
        copy_extracts(lake, "cranes", "lifts", "hoists")
    monkeypatch.setattr(moving.obstore, "copy", copy)
    copy_extracts(lake, "cranes", "lifts", "hoists")
    assert stored(lake, "cranes", "hoists").extracts == 3
    assert all(lake.read_rows(each).num_rows == 2 for each in lake.unloaded("cranes", "hoists"))
