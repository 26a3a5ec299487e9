"""The columns that a table has beside its contract's, and what becomes of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from data_platform.contract import Column
from data_platform.feeds.file_contract import FileContract
from data_platform.warehouse.further_columns import with_drift, with_further
from data_platform.warehouse.schema import TableColumn, apply_schema, plan_changes, read_columns
from data_platform_tests.warehouse.feed import CONTRACT, Feed


def changed(*columns: dict[str, Any], drift: str = "reject") -> FileContract:
    meter = {"name": "meter_id", "type": "string", "nullable": False}
    return FileContract.model_validate({"columns": [meter, *columns], "key": ["meter_id"], "drift": drift})


def follow(feed: Feed) -> Feed:
    """The feed as a load sees it: its table changed, and with the table's further columns."""
    there = read_columns(feed.connection, feed.table)
    apply_schema(feed.connection, plan_changes(feed.table, there, feed.spec.table_columns))
    further = with_further(feed.contract, (), read_columns(feed.connection, feed.table))
    return replace(feed, contract=further)


def names(columns: Sequence[Column]) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in columns][1:]


def test_only_text_that_may_be_null_can_have_come_by_drift() -> None:
    there = [TableColumn("NOTE", "VARCHAR", True, ""), TableColumn("OLD", "FLOAT", True, "")]
    there += [TableColumn("CODE", "VARCHAR", False, ""), TableColumn("_EXTRACT_ID", "VARCHAR", False, "")]
    assert names(with_drift(changed(drift="evolve"), there).columns) == [("note", "string")]
    assert with_drift(changed(), there) == changed()
    assert names(with_further(changed(), (), there).columns) == [
        ("note", "string"),
        ("old", "float"),
        ("code", "string"),
    ]


def test_a_former_name_is_no_further_column() -> None:
    contract = changed({"name": "volume", "type": "float", "renamed_from": ["litres", "liters"]})
    assert with_further(contract, (), [TableColumn("LITERS", "FLOAT", True, "")]) == contract
    with pytest.raises(ValueError, match="renamed_from litres: a former name may be neither"):
        changed({"name": "volume", "type": "float", "renamed_from": "litres"}, {"name": "litres", "type": "float"})


def test_the_contract_hash_doesnt_know_former_names() -> None:
    plain, renamed = ({"name": "volume", "type": "float", **more} for more in ({}, {"renamed_from": "litres"}))
    assert changed(plain).hash == changed(renamed).hash


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_required_column_that_is_removed_stays_and_a_reload_brings_its_values_back(feed: Feed, mode: Any) -> None:
    feed.mode = mode
    feed.contract = changed({"name": "litres", "type": "decimal(12,3)", "nullable": False})
    old = feed.deliver("old.csv", {"a": Decimal(1)})
    feed.prepare()
    feed.load(old)
    feed.contract = changed()
    now = follow(feed)
    new = now.deliver("new.csv", {"b": None})
    now.load(new)
    assert now.rows() == {"a": 1, "b": None}
    now.load(old, reload=True)
    assert now.rows() == {"a": 1, "b": None}


def test_a_renamed_column_keeps_its_values_and_takes_those_of_older_extracts(feed: Feed) -> None:
    old = feed.deliver("old.csv", {"a": Decimal(1)})
    feed.prepare()
    feed.load(old)
    late = feed.deliver("late.csv", {"b": Decimal(2)})
    feed.contract = changed({"name": "volume", "type": "decimal(12,3)", "renamed_from": "litres"})
    now = follow(feed)
    now.load(late)
    now.load(old, reload=True)
    found = now.query(f"SELECT METER_ID, VOLUME FROM {now.table.sql} ORDER BY 1")
    assert found == [("a", Decimal(1)), ("b", Decimal(2))]
    assert CONTRACT.hash != feed.contract.hash
