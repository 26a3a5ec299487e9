from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import ProgrammingError

from data_platform.feeds.file_contract import FileContract
from data_platform.lake.manifest import FileEntry
from data_platform.landing import history
from data_platform.warehouse import copy
from data_platform.warehouse.copy import RowCountMismatch
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.load_rules import LoadRefused
from data_platform_tests.warehouse.feed import DATABASE, Feed


def test_a_delivery_is_loaded_with_its_rejects_and_its_place_in_the_ledger(feed: Feed) -> None:
    feed.prepare()
    delivered = feed.deliver("a.csv", {"m1": 1, "m2": None}, rejects=3)
    result = feed.load(delivered)
    assert (result.rows_loaded, result.rows_deleted, result.rows_rejected) == (2, 0, 3)
    assert feed.rows() == {"m1": 1, "m2": None}
    row = result.outcomes[delivered.settlement.delivery_id]
    assert (row.status, row.rows_read, row.rows_loaded, row.rows_rejected) == ("loaded", 5, 2, 3)
    assert history.delivery(feed.connection, DATABASE, row.delivery_id) == row
    assert feed.query(
        "SELECT DELIVERY_ID, RECORD_NUMBER, COLUMN_NAME, REASON, RAW_TEXT FROM PLATFORM.REJECTS"
        " WHERE EXTRACT_ID = %s AND RECORD_NUMBER = 3",
        delivered.manifest.extract_id,
    ) == [(row.delivery_id, 3, "litres", "not a number", "m,many")]
    assert feed.query(
        f"SELECT _DELIVERY_ID, _EXTRACT_ID, _RECORD_NUMBER, _EXTRACTED_AT FROM {feed.table.sql} WHERE METER_ID = 'm2'"
    ) == [(row.delivery_id, delivered.manifest.extract_id, 2, delivered.manifest.started_at)]
    assert feed.query(
        "SELECT LOAD_MODE, ROWS_LOADED, FILES, RUN_ID FROM PLATFORM.LOADS WHERE EXTRACT_ID = %s",
        delivered.manifest.extract_id,
    ) == [("append", 2, 1, "run")]
    assert len(result.query_ids) >= 3


def test_the_raw_text_of_rejects_with_personal_data_stays_in_the_lake(feed: Feed) -> None:
    columns = feed.contract.model_dump()["columns"]
    columns[0]["personal"] = True
    feed.contract = FileContract.model_validate({"columns": columns, "key": ["meter_id"]})
    feed.prepare()
    delivered = feed.deliver("a.csv", {"m1": 1}, rejects=1)
    feed.load(delivered)
    found = feed.query(
        "SELECT REASON, RAW_TEXT FROM PLATFORM.REJECTS WHERE EXTRACT_ID = %s", delivered.manifest.extract_id
    )
    assert found == [("not a number", None)]
    rejects = feed.lake.read_rejects(delivered.manifest)
    assert rejects is not None
    assert rejects["raw_text"].to_pylist() == ["m,many"]


def test_loading_again_changes_nothing(feed: Feed) -> None:
    feed.prepare()
    delivered = feed.deliver("a.csv", {"m1": 1}, rejects=1)
    first = feed.load(delivered)
    again = feed.load(delivered)
    assert (again.rows_loaded, again.rows_deleted, again.loaded) == (0, 0, ())
    assert again.outcomes == first.outcomes
    assert feed.rows() == {"m1": 1}
    assert feed.query("SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE SOURCE = %s", feed.partner) == [(1,)]


def test_a_reload_puts_back_rows_that_were_lost(feed: Feed) -> None:
    feed.prepare()
    delivered = [feed.deliver("a.csv", {"m1": 1}, rejects=2), feed.deliver("b.csv", {"m2": 2})]
    feed.load(*delivered)
    feed.query(f"DELETE FROM {feed.table.sql} WHERE METER_ID = 'm2'")
    result = feed.load(*delivered, reload=True)
    assert (result.rows_loaded, result.rows_deleted) == (2, 1)
    assert feed.rows() == {"m1": 1, "m2": 2}
    for table in ("CURRENT_LOADS", "REJECTS"):
        (count,) = feed.query(f"SELECT COUNT(*) FROM PLATFORM.{table} WHERE SOURCE = %s", feed.partner)
        assert count == (2,)
    assert feed.outcomes() == {"loaded": 2}


def test_a_new_version_of_a_file_takes_the_place_of_the_old_rows(feed: Feed) -> None:
    feed.prepare()
    old = feed.deliver("a.csv", {"m1": 1, "m2": 2})
    feed.load(old)
    new = feed.deliver("a.csv", {"m2": 20, "m3": 30})
    result = feed.load(new)
    assert (result.rows_loaded, result.rows_deleted) == (2, 2)
    assert feed.rows() == {"m2": 20, "m3": 30}
    row = history.delivery(feed.connection, DATABASE, old.settlement.delivery_id)
    assert row is not None
    assert (row.status, row.superseded_by) == ("superseded", new.settlement.delivery_id)
    assert feed.outcomes() == {"loaded": 1, "superseded": 1}


def test_duplicates_and_quarantined_deliveries_are_recorded_with_the_load(feed: Feed) -> None:
    feed.prepare()
    loaded = feed.deliver("a.csv", {"m1": 1})
    twin = feed.deliver("again.csv", {"m1": 1})
    bad = replace(
        twin.settlement, delivery_id=uuid.uuid4().hex, status="quarantined", extract_id=None, reason="no header"
    )
    result = feed.load(loaded, twin, also=[bad])
    assert [each.extract_id for each in result.loaded] == [loaded.manifest.extract_id]
    assert feed.outcomes() == {"loaded": 1, "duplicate": 1, "quarantined": 1}
    assert result.outcomes[bad.delivery_id].reason == "no header"
    assert feed.rows() == {"m1": 1}


def test_a_duplicate_is_loaded_when_its_twin_is_corrected(feed: Feed) -> None:
    feed.prepare()
    east, west = feed.deliver("east.csv", {"m1": 1}), feed.deliver("west.csv", {"m1": 1})
    feed.load(east, west)
    corrected = feed.deliver("east.csv", {"m2": 2})
    result = feed.load(corrected)
    assert feed.rows() == {"m1": 1, "m2": 2}
    assert feed.outcomes() == {"loaded": 2, "superseded": 1}
    assert {(row.file_name, row.status) for row in result.corrected} == {
        ("east.csv", "superseded"),
        ("west.csv", "loaded"),
    }
    again = feed.load(corrected)
    assert again.rows_loaded == 0
    assert {row.delivery_id: row.status for row in again.corrected} == {
        row.delivery_id: row.status for row in result.corrected
    }


def test_a_quarantined_delivery_keeps_its_rejects_once(feed: Feed) -> None:
    feed.prepare()
    delivered = feed.deliver("a.csv", {}, rejects=4)
    settlement = replace(
        delivered.settlement, status="quarantined", extract_id=None, reason="4 of 4 rows break the contract"
    )
    for _ in range(2):
        feed.load(replace(delivered, settlement=settlement))
    assert feed.outcomes() == {"quarantined": 1}
    count = "SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE DELIVERY_ID = %s"
    assert feed.query(count, settlement.delivery_id) == [(4,)]
    assert feed.query("SELECT COUNT(*) FROM PLATFORM.LOADS WHERE SOURCE = %s", feed.partner) == [(0,)]


def test_hundreds_of_quarantined_files_with_long_reasons_are_recorded(feed: Feed) -> None:
    one = feed.deliver("a.csv", {}).settlement
    columns = ", ".join(f"column {number}" for number in range(20_000))
    bad = [
        replace(one, delivery_id=f"{number:032x}", status="quarantined", extract_id=None, reason=f"unknown: {columns}")
        for number in range(300)
    ]
    feed.load(also=bad)
    assert feed.outcomes() == {"quarantined": 300}
    [(longest,)] = feed.query("SELECT MAX(LENGTH(REASON)) FROM PLATFORM.DELIVERIES WHERE PARTNER = %s", feed.partner)
    assert longest == 2001


def test_an_outcome_without_rows_needs_no_table(feed: Feed) -> None:
    delivered = feed.deliver("a.csv", {})
    settlement = replace(delivered.settlement, status="quarantined", extract_id=None, reason="not a CSV file")
    feed.load(also=[settlement])
    assert feed.outcomes() == {"quarantined": 1}


def test_merge_keeps_the_last_row_of_each_key(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    feed.load(feed.deliver("1.csv", {"m1": 1, "m2": 1}))
    result = feed.load(
        feed.deliver("2.csv", {"m2": 2, "m3": 2}, landed_minutes=20),
        feed.deliver("3.csv", {"m3": 3}, landed_minutes=30),
    )
    assert result.rows_loaded == 3
    assert feed.rows() == {"m1": 1, "m2": 2, "m3": 3}


def test_merge_keeps_what_landed_later_whichever_is_loaded_first(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    early = feed.deliver("a.csv", {"m1": 1, "m2": 1, "m3": 1, "m4": 1})
    between = feed.deliver("b.csv", {"m1": 2, "m3": 2})
    late = feed.deliver("c.csv", {"m1": 3, "m2": 3})
    feed.load(late)
    feed.load(between, early)  # failed at first, and tried again
    assert feed.rows() == {"m1": 3, "m2": 3, "m3": 2, "m4": 1}
    feed.load(early, reload=True)
    assert feed.rows() == {"m1": 3, "m2": 3, "m3": 2, "m4": 1}
    feed.load(feed.deliver("d.csv", {"m1": 4}))
    assert feed.rows()["m1"] == 4


def test_merge_takes_out_rows_that_a_new_version_no_longer_has(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    feed.load(feed.deliver("1.csv", {"m1": 1, "m2": 1, "m3": 1}))
    feed.load(feed.deliver("2.csv", {"m3": 2}))
    feed.load(feed.deliver("1.csv", {"m1": 10}))
    assert feed.rows() == {"m1": 10, "m3": 2}


def test_merge_puts_back_rows_that_a_superseded_file_had_overwritten(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    feed.load(feed.deliver("mon.csv", {"m1": 1, "m2": 1, "m3": 1}))
    feed.load(feed.deliver("tue.csv", {"m1": 2, "m2": 2, "m4": 2}))
    feed.load(feed.deliver("wed.csv", {"m2": 3}))
    result = feed.load(feed.deliver("tue.csv", {"m5": 4}))
    assert feed.rows() == {"m1": 1, "m2": 3, "m3": 1, "m5": 4}
    assert (result.rows_loaded, result.rows_deleted) == (1, 2)
    feed.load(feed.deliver("mon.csv", {"m3": 5}))
    assert feed.rows() == {"m2": 3, "m3": 5, "m5": 4}
    feed.load(feed.deliver("wed.csv", {"m6": 6}))
    assert feed.rows() == {"m3": 5, "m5": 4, "m6": 6}, "superseded files' rows stay out"


def test_merge_takes_content_that_is_all_in_the_table_for_a_duplicate_whatever_landed_since(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    feed.load(feed.deliver("mon.csv", {"m1": 1, "m2": 1}))
    feed.load(feed.deliver("tue.csv", {"m3": 2}))
    feed.load(feed.deliver("mon.csv", {"m1": 1, "m2": 1}), feed.deliver("wed.csv", {"m4": 4}))
    assert feed.outcomes() == {"loaded": 3, "duplicate": 1}


def test_merge_loads_again_content_that_another_file_has_overwritten(feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    feed.load(feed.deliver("mon.csv", {"m1": 1}))
    feed.load(feed.deliver("tue.csv", {"m1": 2}))
    feed.load(feed.deliver("wed.csv", {"m1": 1}))
    assert feed.rows() == {"m1": 1}
    assert feed.outcomes() == {"loaded": 3}


def test_replace_takes_out_its_own_partition_only(feed: Feed) -> None:
    feed.mode = "replace"
    feed.prepare()
    feed.load(
        feed.deliver("8.csv", {"m1": 8}, partition="2026-03-08"),
        feed.deliver("9.csv", {"m2": 9}, partition="2026-03-09"),
    )
    result = feed.load(feed.deliver("8 again.csv", {"m3": 80}, partition="2026-03-08"))
    assert result.rows_deleted == 1
    assert feed.rows() == {"m2": 9, "m3": 80}
    assert feed.outcomes() == {"loaded": 2, "superseded": 1}


def test_replace_without_partition_takes_out_everything(feed: Feed) -> None:
    feed.mode = "replace"
    feed.prepare()
    feed.load(feed.deliver("1.xlsx", {"m1": 1, "m2": 1}))
    feed.load(feed.deliver("2.xlsx", {"m2": 2}))
    feed.load(feed.deliver("3.xlsx", {}))
    assert feed.rows() == {}


def test_extracts_of_a_source_are_loaded_once_without_deliveries(feed: Feed) -> None:
    feed.prepare()
    first, second = feed.extract("e1" + feed.partner, {"m1": 1}), feed.extract("e2" + feed.partner, {"m2": 2})

    def load(*manifests: Any) -> int:
        return load_extracts(feed.connection, DATABASE, feed.spec, manifests, lake=feed.lake).rows_loaded

    assert (load(first), load(first, second), load(first, second)) == (1, 1, 0)
    assert feed.rows() == {"m1": 1, "m2": 2}
    feed.mode = "replace"
    third, fourth = feed.extract("e3" + feed.partner, {"m3": 3}), feed.extract("e4" + feed.partner, {"m4": 4})
    assert load(third, fourth) == 1
    assert feed.rows() == {"m4": 4}


def test_an_extract_from_before_a_column_was_added_still_loads(feed: Feed) -> None:
    early = feed.deliver("a.csv", {"m1": 1})
    columns = [*feed.contract.model_dump()["columns"], {"name": "note", "type": "string"}]
    feed.contract = FileContract.model_validate({"columns": columns, "key": ["meter_id"]})
    feed.prepare()
    feed.load(early)
    assert feed.query(f"SELECT METER_ID, LITRES, NOTE FROM {feed.table.sql}") == [("m1", 1, None)]


def test_an_extract_of_other_types_is_refused(feed: Feed) -> None:
    feed.prepare()
    early = feed.deliver("a.csv", {"m1": 1})
    columns = [{"name": "meter_id", "type": "string", "nullable": False}, {"name": "litres", "type": "int8"}]
    feed.contract = FileContract.model_validate({"columns": columns, "key": ["meter_id"]})
    with pytest.raises(LoadRefused, match=r"litres as decimal128\(12, 3\).*feed re-extract"):
        feed.load(early)


def test_an_extract_of_narrower_types_still_loads(feed: Feed) -> None:
    early = feed.deliver("a.csv", {"m1": 1})
    columns = [{"name": "meter_id", "type": "string", "nullable": False}]
    columns += [{"name": "litres", "type": "decimal(38,3)"}]
    feed.contract = FileContract.model_validate({"columns": columns, "key": ["meter_id"]})
    feed.prepare()
    feed.load(early)
    assert feed.rows() == {"m1": 1}


def test_a_file_with_other_rows_than_its_manifest_says_is_not_loaded(feed: Feed) -> None:
    feed.prepare()
    delivered = feed.deliver("a.csv", {"m1": 1, "m2": 2})
    file = delivered.manifest.files[0]
    wrong = FileEntry(file.path, 3, file.bytes, file.sha256)
    with pytest.raises(RowCountMismatch, match="2 rows of 1 files whose manifests say 3"):
        feed.load(replace(delivered, manifest=replace(delivered.manifest, files=(wrong,))))
    assert feed.rows() == {}
    assert feed.outcomes() == {}
    feed.load(delivered)
    assert feed.rows() == {"m1": 1, "m2": 2}


def test_a_file_that_is_gone_fails_the_whole_load(feed: Feed) -> None:
    feed.prepare()
    kept, lost = feed.deliver("a.csv", {"m1": 1}), feed.deliver("b.csv", {"m2": 2})
    feed.lake.delete([lost.manifest.files[0].path])
    with pytest.raises(ProgrammingError, match="was not found"):
        feed.load(kept, lost)
    assert feed.rows() == {}
    assert feed.outcomes() == {}


def test_files_are_copied_a_thousand_at_a_time(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "FILES_A_COPY", 2)
    feed.prepare()
    result = feed.load(*(feed.deliver(f"{n}.csv", {f"m{n}": n}) for n in range(5)))
    assert result.rows_loaded == 5
    assert len(feed.rows()) == 5


def test_five_hundred_deliveries_are_loaded_in_a_few_statements(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.prepare()
    deliveries = [feed.deliver(f"{n}.csv", {f"m{n}": n}) for n in range(500)]
    statements: list[str] = []
    execute = SnowflakeCursor.execute

    def counted(cursor: SnowflakeCursor, sql: str, *arguments: Any, **options: Any) -> Any:
        statements.append(sql)
        return execute(cursor, sql, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(SnowflakeCursor, "execute", counted)
        feed.load(*deliveries)
    assert 0 < len(statements) < 20, [sql[:60] for sql in statements]
    assert feed.outcomes() == {"loaded": 500}
    assert len(feed.rows()) == 500
