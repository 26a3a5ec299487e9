"""Receipts by month, and the deletion of old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import obstore
from obstore.store import MemoryStore

from data_platform.landing.receipts import delete_before, folder_of


def test_a_file_belongs_to_the_month_in_which_it_landed_in_utc() -> None:
    late = datetime.fromisoformat("2026-11-30T22:00:00-05:00")
    assert folder_of("harbor_water", late) == "receipts/harbor_water/2026-12/"


def test_whole_months_are_deleted_and_what_lies_in_none_by_its_age() -> None:
    store = MemoryStore()
    for partner in ("a", "b"):
        for month in ("2025-12", "2026-01", "2026-02"):
            obstore.put(store, f"receipts/{partner}/{month}/f.csv.1.json", b"{}")
    obstore.put(store, "receipts/a/flat.csv.1.json", b"{}")
    obstore.put(store, "archive/a/2025-12/f.csv", b"")
    assert delete_before(store, datetime(2026, 2, 1, tzinfo=UTC)) == 4
    left = sorted(str(item["path"]) for page in obstore.list(store) for item in page)
    assert left == [
        "archive/a/2025-12/f.csv",
        "receipts/a/2026-02/f.csv.1.json",
        "receipts/a/flat.csv.1.json",
        "receipts/b/2026-02/f.csv.1.json",
    ]
    assert delete_before(store, datetime.now(UTC) + timedelta(days=40)) == 3
