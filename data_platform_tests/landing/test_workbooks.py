"""Workbooks of every format: what their cells hold besides values is told, and no small file takes much memory."""

from __future__ import annotations

from typing import Any

import pytest

from data_platform.landing.delivery import DeliveryUnreadable
from data_platform_tests.landing.test_read_formats import read
from data_platform_tests.landing.workbooks import ods, ods_cell, ods_row, xls, xlsb, xlsx

COLUMNS: list[dict[str, Any]] = [{"name": "a", "type": "string"}, {"name": "n", "type": "float"}]
HEADER = ods_row("a", "n")
BINARY = [(0, 0, "a"), (0, 1, "n"), (1, 0, "x"), (1, 1, 1.5), (2, 0, "y"), (2, 1, b"\x07")]
DIVIDED = '<table:table-cell table:formula="of:=1/0" {}><text:p>#DIV/0!</text:p></table:table-cell>'
XML_ERROR = '<row><c/><c t="e"><v>#DIV/0!</v></c></row>'
XML_HEADER = '<row r="1"><c r="A1" t="str"><v>a</v></c><c t="str"><v>n</v></c></row>'


@pytest.mark.parametrize(
    "data",
    [
        xls(BINARY),
        xlsb(BINARY),
        ods(HEADER, ods_row("x", 1.5), ods_row("y", DIVIDED.format('office:value-type="string"'))),
        ods(HEADER, ods_row("x", 1.5), ods_row("y", DIVIDED.format('calcext:value-type="error"'))),
        xlsx(f'{XML_HEADER}<row><c t="str"><v>x</v></c><c><v>1.5</v></c></row>{XML_ERROR}'),
    ],
    ids=["xls", "xlsb", "ods", "ods of LibreOffice", "xlsx without places"],
)  # fmt: skip
def test_an_error_in_a_cell_is_a_reject_in_every_format(data: bytes) -> None:
    rows, rejects, _ = read(data, "excel", COLUMNS)
    assert [(row["a"], row["n"]) for row in rows] == [("x", 1.5)]
    assert [(found["record_number"], found["reason"]) for found in rejects] == [(3, "n: holds the error #DIV/0!")]


def test_an_ods_formula_without_a_stored_value_is_a_reject_for_each_row_that_repeats_it() -> None:
    formula = '<table:table-cell table:formula="of:=[.A1]*2"/>'
    data = ods(HEADER, ods_row("x", formula, attributes='table:number-rows-repeated="2"'), ods_row("y", 2))
    rows, rejects, _ = read(data, "excel", COLUMNS)
    assert [row["n"] for row in rows] == [2.0]
    assert [(found["record_number"], found["reason"]) for found in rejects] == [
        (2, "n: holds a formula without a stored value"),
        (3, "n: holds a formula without a stored value"),
    ]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ('table:formula="of:=1+1" office:value-type="float"/>', "holds a formula without a stored value"),
        (
            'office:value-type="float"><text:p>5</text:p></table:table-cell>',
            "shows '5', which is not stored as a value",
        ),
        ('office:value-type="boolean"><text:p>TRUE</text:p></table:table-cell>', "shows 'TRUE', which is not stored"),
        (
            'office:value-type="date"><text:p>8 March</text:p></table:table-cell>',
            "shows '8 March', which is not stored",
        ),
    ],
)
def test_an_ods_cell_of_a_type_without_its_value_is_no_null(cell: str, reason: str) -> None:
    data = ods(HEADER, ods_row("x", f"<table:table-cell {cell}"), ods_row("y", 2))
    rows, (reject,), _ = read(data, "excel", COLUMNS, reject_limit={"share": 0.5})
    assert [row["n"] for row in rows] == [2.0]
    assert reason in reject["reason"]


def test_the_empty_rest_of_a_sheet_is_no_reason_to_refuse_it() -> None:
    rest = '<table:table-cell table:number-columns-repeated="{}"/>'
    rows = [
        HEADER,
        ods_row("x", 1.5, rest.format(16382)),
        ods_row(rest.format(16384), attributes='table:number-rows-repeated="1048574"'),
    ]
    assert len(read(ods(*rows), "excel", COLUMNS)[0]) == 1


_WIDE = ods_row(ods_cell(1, 'table:number-columns-repeated="16000"'), attributes='table:number-rows-repeated="30000"')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ods(HEADER, ods_row("x", attributes='table:number-rows-repeated="1000000000"')), "has number-rows-repeated"),
        (ods(HEADER, ods_row("x", 1, attributes='table:number-rows-repeated="1048575"')), "4 cells of 2,097,152"),
        (ods(HEADER, _WIDE), "sheet 'S' reaches to row 30001 and column 16000"),
        (ods(HEADER, sheets=[("Notes", [_WIDE])]), "sheet 'Notes' reaches to row 30000 and column 16000"),
        (ods(*[ods_row("", attributes='table:number-rows-repeated="1000000"')] * 2), "more than 1,048,576 rows"),
        (xlsx(f'{XML_HEADER}<row><c r="XFD1048576"><v>1</v></c></row>'), "reaches to row 1048576 and column 16384"),
        (xlsx(f'{XML_HEADER}<row r="3000"><c r="XFD3000"><v>1</v></c></row>'), "has 3 cells of 49,152,000"),
        (xlsb([*BINARY, (1048575, 16383, 1.0)]), "reaches to row 1048576 and column 16384"),
        (xls([*BINARY, (65535, 65535, 1.0)]), "reaches to row 65536 and column 65536"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)  # fmt: skip
def test_a_workbook_that_few_bytes_make_huge_is_refused_before_it_is_read(data: bytes, message: str) -> None:
    with pytest.raises(DeliveryUnreadable, match=r"(Save it anew|Delete stray cells), or send CSV\.$") as refused:
        read(data, "excel", COLUMNS)
    assert message in str(refused.value)


def test_a_workbook_whose_xml_ends_early_is_refused() -> None:
    # python-calamine would look for the end of such a table for ever.
    for cut in (500, 700, 800):
        with pytest.raises(DeliveryUnreadable, match="not a valid workbook"):
            read(ods(HEADER, ods_row("x", 1.5), ods_row("y", 2), cut=cut), "excel", COLUMNS)


def test_a_sheet_of_tags_that_never_end_is_refused_at_once() -> None:
    # Patterns over the XML once took 17 s for 100 kB of this.
    for junk in ("<c " * 40_000, "<row>" * 40_000, '<c r="' + "A" * 200_000, "<c>" + "<f>" * 40_000):
        with pytest.raises(DeliveryUnreadable, match="not a valid workbook"):
            read(xlsx(XML_HEADER + junk), "excel", COLUMNS)
