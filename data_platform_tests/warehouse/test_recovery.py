"""Which loads a feed's manifests tell of, where the ledger can't."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.spec import LoadMode
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.recovery import FeedInLake, InTable, loads_of_table, rejects_of

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
COLUMNS = [
    {"name": "id", "type": "string", "nullable": False},
    {"name": "changed", "type": "timestamp", "nullable": False},
]


def feed(mode: LoadMode) -> SqlTableSpec:
    given: dict[str, Any] = {"watermark": {"column": "changed"}} if mode == "merge" else {}
    contract = {"columns": COLUMNS, "key": ["id"]}
    return SqlTableSpec.model_validate(
        {"source": "s", "table": "t", "connection": "c", "load_mode": mode, "contract": contract, **given}
    )


def extract(name: str, minute: int, **about: Any) -> Manifest:
    at = NOON + timedelta(minutes=minute)
    given: dict[str, Any] = {
        **{"contract_hash": "h", "columns": (), "files": (), "rows": 1, "rejects": 0, "rejects_file": None},
        **{"position_from": None, "position_to": {"watermark": minute}, "started_at": at, "committed_at": at},
        **{"run_id": "run", "effective_at": at, "partition": None, **about},
    }
    return Manifest(extract_id=name, source="s", table="t", **given)


def told(mode: LoadMode, *manifests: Manifest, unloaded: tuple[str, ...] = (), table: tuple[str, ...] = ()) -> str:
    """The loads in order; in parentheses those whose rows were taken out."""
    loads = loads_of_table(feed(mode), FeedInLake(manifests, unloaded), InTable(len(table), table))
    return " ".join(f"({each.extract_id})" if each.removed_at else each.extract_id for each in loads)


@pytest.mark.parametrize(("mode", "expected"), [("merge", "a b c"), ("history", "a b c"), ("replace", "(a) (b) c")])
def test_a_later_extract_replaces_the_earlier_ones_or_is_added_to_them(mode: LoadMode, expected: str) -> None:
    assert told(mode, extract("c", 3), extract("a", 1), extract("b", 2)) == expected


def test_the_last_load_has_the_position_from_which_the_next_read_begins() -> None:
    lake = FeedInLake((extract("b", 2), extract("a", 1)), ())
    loads = loads_of_table(feed("merge"), lake, InTable(None, ()))
    assert [(each.sequence, each.position) for each in loads] == [(1, {"watermark": 1}), (2, {"watermark": 2})]


def test_the_parts_of_a_snapshot_are_together_and_one_that_is_incomplete_was_never_loaded() -> None:
    parts = [
        extract(f"{name}{part}", minute, snapshot_id=name, parts=2)
        for name, minute in [("a", 1), ("b", 2)]
        for part in (1, 2)
    ]
    lone = extract("c1", 3, snapshot_id="c", parts=2)
    assert told("replace", *parts, lone) == "(a1) (a2) b1 b2"


def test_an_extract_that_is_marked_as_unloaded_isnt_loaded_unless_the_table_has_its_rows() -> None:
    both = extract("a", 1), extract("b", 2)
    assert told("merge", *both, unloaded=("b",)) == "a"
    assert told("replace", *both, unloaded=("b",)) == "a"
    assert told("replace", *both, unloaded=("b",), table=("b",)) == "(a) b"


def test_a_source_that_was_read_again_leaves_nothing_of_what_was_read_before() -> None:
    manifests = extract("a", 1), extract("b", 2, run_id="re-extract-1"), extract("c", 3)
    assert told("merge", *manifests) == "(a) b c"
    lake = FeedInLake(manifests, ())
    loads = loads_of_table(feed("merge"), lake, InTable(None, ()))
    assert [each.extract_id for each in rejects_of(feed("merge"), lake, loads)] == ["b", "c"]
