"""What a sheet's own records say of its cells where python-calamine, which reads their values (`excel.py`), is silent:
errors and formulas without a stored value, which it shows as empty, and cells far away, for which it would allocate
the whole rectangle before them. One module a format finds them: `xlsx.py`, `xlsb.py`, `xls.py` and `ods.py`.
"""

from __future__ import annotations

from xml.parsers import expat

from data_platform.landing.delivery import DeliveryUnreadable

MAX_CELLS = 50_000_000
"""The largest rectangle of a sheet."""
_SPARSE, _LEAST_SHARE = 2_000_000, 50
"""A rectangle larger than that has at least one cell in 50: less is a stray cell, or a bomb."""
_SEPARATOR = " "
ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
"""The codes of errors in .xls and .xlsb (MS-XLS 2.5.10 BErr)."""
_SHOWN = 200
_MOST_FAULTS = 1_000_000


class CellFault(str):
    """What a cell shows in place of a value: an error (#DIV/0!, #REF!, …), a formula (=A1+B1) whose value was never
    stored, as programs write workbooks that don't compute them, or, in quotes, the text of a number that isn't."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """Why the cell has no value."""
        if self.startswith("'"):
            return f"shows {self}, which is not stored as a value"
        return "holds a formula without a stored value" if self.startswith("=") else f"holds the error {self}"


class Cells:
    """Takes a sheet's cells one by one; keeps no more of them than the faults."""

    def __init__(self, sheet: str, subject: str) -> None:
        self.faults: dict[tuple[int, int], CellFault] = {}
        """By (row, column), from 1."""
        self.sheet, self._subject = sheet, subject
        self._last_row = self._last_column = 1
        self._count = 0

    def found(self, row: int, column: int, fault: str | None = None) -> None:
        """A cell at (row, column), from 1. Raises DeliveryUnreadable where the sheet's cells span more than
        MAX_CELLS."""
        self._count += 1
        self._last_row, self._last_column = max(self._last_row, row), max(self._last_column, column)
        if self._last_row * self._last_column > MAX_CELLS:
            raise self._too_far(f"expected at most {MAX_CELLS:,} cells")
        if fault is not None:
            self.span(row, row, column, column, fault)

    def span(self, first_row: int, last_row: int, first_column: int, last_column: int, fault: str) -> None:
        """A fault that every cell of a rectangle has. Raises DeliveryUnreadable where that is too many to tell one by
        one."""
        rows, columns = range(first_row, last_row + 1), range(first_column, last_column + 1)
        if len(rows) * len(columns) + len(self.faults) > _MOST_FAULTS:
            raise DeliveryUnreadable(
                f"{self._subject}: sheet {self.sheet!r} has more than {_MOST_FAULTS:,} cells with errors, such as"
                f" {fault[:_SHOWN]!r} in row {first_row}; correct them and send it again"
            )
        self.faults |= {(row, column): CellFault(fault[:_SHOWN]) for row in rows for column in columns}

    def close(self) -> None:
        """After the last cell. Raises DeliveryUnreadable where few cells span a large sheet."""
        spanned = self._last_row * self._last_column
        if spanned > max(_SPARSE, self._count * _LEAST_SHARE):
            raise self._too_far(f"but has {self._count:,} cells of {spanned:,}")

    def _too_far(self, what: str) -> DeliveryUnreadable:
        return DeliveryUnreadable(
            f"{self._subject}: sheet {self.sheet!r} reaches to row {self._last_row} and column {self._last_column};"
            f" {what}. Delete stray cells, or send CSV."
        )


class DocumentType(expat.ExpatError):
    """The XML declares a document type, which no workbook needs, and which entities can make a bomb of."""


def xml_parser() -> expat.XMLParserType:
    """A parser that refuses document types; names come as `namespace name`, for `local` to part."""
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)

    def refuse(*declared: object) -> None:
        raise DocumentType("it declares a document type")

    parser.StartDoctypeDeclHandler = refuse
    return parser


def local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition(_SEPARATOR)[2]
