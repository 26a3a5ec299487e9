"""A transfer that breaks off leaves a beginning of a file. Which beginnings are told from whole files."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from data_platform.landing.delivery import DeliveryUnreadable
from data_platform_tests.landing.test_read_formats import parquet, read, workbook
from data_platform_tests.landing.workbooks import ods, ods_row, xls, xlsb, zipped

COLUMNS: list[dict[str, Any]] = [{"name": "id", "type": "int32"}, {"name": "amount", "type": "decimal(8,2)"}]
CSV = b"id,amount\n" + b"".join(b"%d,%d.50\n" % (number, number * 7) for number in range(1, 40))
JSON = b"".join(b'{"id":%d,"amount":%d.50}\n' % (number, number * 7) for number in range(1, 40))
ROWS = [["id", "amount"], *([number, number * 1.5] for number in range(20))]
CELLS = [(at, place, value) for at, row in enumerate(ROWS) for place, value in enumerate(row)]


@pytest.mark.parametrize(
    ("data", "change"),
    [
        (gzip.compress(CSV), {"compression": "gzip"}),
        (zipped({"a.csv": CSV}), {"compression": "zip"}),
        (parquet(id=[1, 2], amount=[1.5, 2.5]), {"format": {"type": "parquet"}}),
        (workbook(ROWS), {"format": {"type": "excel"}}),
        (xlsb(CELLS), {"format": {"type": "excel"}}),
        (xls(CELLS), {"format": {"type": "excel"}}),
        (ods(*(ods_row(*row) for row in ROWS)), {"format": {"type": "excel"}}),
    ],
    ids=["gzip", "zip", "parquet", "xlsx", "xlsb", "xls", "ods"],
)
def test_packed_files_have_an_end_of_their_own(data: bytes, change: dict[str, Any]) -> None:
    read(data, "csv", COLUMNS, **change)
    for length in {*range(0, len(data), max(len(data) // 60, 1)), len(data) - 1}:
        with pytest.raises(DeliveryUnreadable):
            read(data[:length], "csv", COLUMNS, **change)


@pytest.mark.parametrize(("form", "data"), [("csv", CSV), ("json_lines", JSON)])
@pytest.mark.parametrize("drift", ["reject", "evolve"])
def test_text_that_must_end_with_a_line_end_is_refused_wherever_else_it_is_cut(
    form: str, data: bytes, drift: str
) -> None:
    whole = {"type": form, "ends_with_newline": True}
    assert len(read(data, form, COLUMNS, format=whole, drift=drift)[0]) == 39
    for length in range(len(data) - 30, len(data)):
        if data[:length].endswith(b"\n"):
            continue
        with pytest.raises(DeliveryUnreadable, match="the file ends within a line, as a transfer that broke off"):
            read(data[:length], form, COLUMNS, format=whole, drift=drift)
