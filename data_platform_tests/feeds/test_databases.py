"""The declaration of a database's tables, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.documents import DefinitionInvalid

COLUMNS = [
    {"name": "permit_id", "type": "int64", "nullable": False},
    {"name": "updated_at", "type": "timestamp", "nullable": False},
    {"name": "revision", "type": "int32", "nullable": False},
    {"name": "fee", "type": "decimal(12,2)"},
    {"name": "closed_on", "type": "date"},
]
MERGED: dict[str, Any] = {
    "table": "permits",
    "description": "Permits.",
    "load_mode": "merge",
    "watermark": {"column": "updated_at", "overlap_minutes": 15},
    "contract": {"key": ["permit_id"], "columns": COLUMNS},
}
WHOLE: dict[str, Any] = {
    "table": "addresses",
    "from": "register.Addresses",
    "description": "Addresses.",
    "contract": {"columns": COLUMNS},
}


def declared(tmp_path: Path, *tables: dict[str, Any]) -> list[SqlTableSpec]:
    file = tmp_path / "sources" / "databases" / "city_records" / "defs.yaml"
    file.parent.mkdir(parents=True)
    attributes = {
        "description": "The register.",
        "time_zone": "America/New_York",
        "owners": ["team:records"],
        "connection": "city_records",
        "tables": list(tables),
    }
    file.write_text(yaml.safe_dump({"type": "data_platform.components.SqlTables", "attributes": attributes}))
    return [feed for feed in declared_feeds(tmp_path) if isinstance(feed, SqlTableSpec)]


def test_tables_are_feeds_of_their_database(tmp_path: Path) -> None:
    addresses, permits = declared(tmp_path, MERGED, WHOLE)
    assert (addresses.name, addresses.relation, addresses.load_mode) == (
        "city_records/addresses",
        ("register", "Addresses"),
        "replace",
    )
    assert (permits.name, permits.relation, permits.order_column) == (
        "city_records/permits",
        (None, "permits"),
        "updated_at",
    )
    assert {feed.connection for feed in (addresses, permits)} == {"city_records"}
    assert {(feed.owners, feed.time_zone, feed.kind) for feed in (addresses, permits)} == {
        (("team:records",), "America/New_York", "sql")
    }
    assert SqlTableSpec.model_validate_json(permits.model_dump_json()).watermark == permits.watermark


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"load_mode": "append"}, "load_mode append would load a row again"),
        ({"load_mode": "replace"}, "load_mode replace reads the whole table and takes no watermark"),
        ({"load_mode": "history"}, "load_mode history reads the whole table and takes no watermark"),
        ({"load_mode": "history", "contract": {"columns": COLUMNS}}, "load_mode history needs contract.key"),
        ({"load_mode": "replace", "watermark": None, "deletions": "keys"}, "load_mode replace sees deletions anyway"),
        ({"deletions": "marks"}, "deletions"),
        ({"parts": 0}, "parts"),
        ({"watermark": None}, "load_mode merge needs a watermark"),
        ({"partition": {"start": "2026-01-01"}}, "has no partition"),
        ({"watermark": {"column": "changed_at"}}, "'changed_at' is not one of the contract's columns"),
        ({"watermark": {"column": "fee"}}, "fee is a decimal\\(12,2\\); expected one of timestamp, date"),
        ({"watermark": {"column": "closed_on"}}, "closed_on must have `nullable: false`"),
        ({"watermark": {"column": "revision", "overlap_minutes": 5}}, "overlap_minutes needs a timestamp or date"),
        ({"watermark": {"column": "updated_at", "overlap_minutes": -1}}, "overlap_minutes"),
        ({"contract": {"columns": COLUMNS}}, "load_mode merge needs contract.key"),
        ({"from": "a.b.c"}, "from"),
        ({"table": "Permits"}, "table"),
        ({"form": "register.permits"}, "unknown field 'form'"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionInvalid, match=rf"defs.yaml:\d+:\d+: tables\.[Pp]ermits.*{said}"):
        declared(tmp_path, {**MERGED, **changed})


def test_a_history_is_of_whole_tables_and_never_of_one_that_is_all_rejects(tmp_path: Path) -> None:
    (feed,) = declared(tmp_path, {**MERGED, "load_mode": "history", "watermark": None})
    assert feed.too_many_rejects(3, 3) == "all 3 rows break the contract"
    assert feed.too_many_rejects(2, 3) is None
    assert [column.name for column in feed.extract_columns][-2:] == ["_extract_id", "_extracted_at"]
    further = feed.table_columns[len(feed.extract_columns) :]
    assert [column.name for column in further] == ["_valid_from", "_valid_to", "_first_seen", "_last_seen", "_deleted"]


def test_a_table_is_declared_once(tmp_path: Path) -> None:
    with pytest.raises(DefinitionInvalid, match="table declared twice: permits"):
        declared(tmp_path, MERGED, MERGED)
