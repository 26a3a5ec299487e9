from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.lake.preview import preview
from data_platform_tests.lake.rows import KEY, SCHEMA, batch, lake_in_memory


def extract(lake: Lake, name: str, *numbers: int) -> Manifest:
    batches = [batch(*numbers)] if numbers else []
    return lake.write_extract(replace(KEY, extract_id=name), SCHEMA, batches, contract_hash="h")


def test_the_first_rows_of_the_last_extract_that_has_any_are_shown() -> None:
    lake = lake_in_memory()
    manifests = [extract(lake, "a", 1), extract(lake, "b", 2, 3, 4), extract(lake, "c")]
    lines = preview(lake, manifests, limit=2).splitlines()
    assert lines[0] == "| meter_id | litres | _extract_id | _extracted_at |"
    assert [line.split(" | ")[:3] for line in lines[2:]] == [["| meter 2", "2.000", "b"], ["| meter 3", "3.000", "b"]]
    assert preview(lake, [], limit=2) == "No rows."


def test_no_value_breaks_out_of_its_cell() -> None:
    lake = lake_in_memory()
    values: dict[str, list[Any]] = {"a": ["x|y\nz" * 30], "b": [None], "c": [b"\x01\xff"]}
    rows = pa.record_batch(values)
    manifest = lake.write_extract(KEY, rows.schema, [rows], contract_hash="h")
    (line,) = preview(lake, [manifest], limit=2).splitlines()[2:]
    assert line.startswith("| x\\|y\\\\nzx")
    assert "… |  | 01ff | " in line


def test_personal_values_are_hidden() -> None:
    lake = lake_in_memory()
    shown = preview(lake, [extract(lake, "a", 1)], limit=2, hidden={"meter_id"})
    assert "meter 1" not in shown
    assert "| ••• | 1.000 |" in shown
