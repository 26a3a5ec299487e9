"""The cells of every sheet of an .ods file, by its XML: calamine reads all sheets, whichever is wanted."""

from __future__ import annotations

import re
from typing import IO

from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.readers.cells import Cells, local, xml_parser

CONTENT = "content.xml"
_MOST_ROWS, _MOST_COLUMNS = 2**20, 2**14
"""A sheet has no more (LibreOffice, Excel), repeated ones counted."""
_STORED = {
    **dict.fromkeys(("float", "percentage", "currency"), "value"),
    **{kind: f"{kind}-value" for kind in ("date", "time", "boolean")},
}
"""The attribute that has the value of a cell of that type; of text, the text itself has it. Without the attribute,
calamine shows the cell as empty."""
_ERROR = re.compile(r"#(?:DIV/0!|N/A|NAME\?|NULL!|NUM!|REF!|VALUE!)|Err:[0-9]{3}")


def find_cells(content: IO[bytes], sheet: str | None, cells: Cells, subject: str) -> None:
    """Tells `cells` of those of a sheet (None: the first); checks those of every other. Raises ExpatError where the
    XML is broken, DeliveryUnreadable where a sheet is too large."""
    with content:
        _Content(sheet, cells, subject).parse(content)


class _Content:
    def __init__(self, wanted: str | None, cells: Cells, subject: str) -> None:
        self._wanted, self._wanted_cells, self._subject = wanted, cells, subject
        self._met = False
        self._sheet, self._cells = "", cells
        self._row = self._column = 0
        self._row_repeats = 1
        self._cell: dict[str, str] | None = None
        self._repeats = 1
        self._text = ""

    def parse(self, content: IO[bytes]) -> None:
        parser = xml_parser()
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._take
        parser.ParseFile(content)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name not in ("table", "table-row", "table-cell", "covered-table-cell"):
            return
        found = {local(key): value for key, value in attributes.items()}
        if name == "table":
            self._sheet = found.get("name", "")
            chosen = not self._met and self._wanted in (None, self._sheet)
            self._met = self._met or chosen
            self._cells = self._wanted_cells if chosen else Cells(self._sheet, self._subject)
            self._cells.sheet = self._sheet
            self._row = 0
        elif name == "table-row":
            self._column, self._row_repeats = 0, self._count(found, "number-rows-repeated", _MOST_ROWS)
            if self._row + self._row_repeats > _MOST_ROWS:
                raise self._too_large(f"more than {_MOST_ROWS:,} rows")
        else:
            self._cell, self._text = found, ""
            # Excel's value type of an error is beside the standard's, under the same name.
            self._cell["error"] = str(any(v == "error" for k, v in attributes.items() if local(k) == "value-type"))
            self._repeats = self._count(found, "number-columns-repeated", _MOST_COLUMNS)
            if self._column + self._repeats > _MOST_COLUMNS:
                raise self._too_large(f"more than {_MOST_COLUMNS:,} columns")

    def _take(self, text: str) -> None:
        if self._cell is not None and len(self._text) < 1000:
            self._text += text

    def _end(self, name: str) -> None:
        name = local(name)
        if name == "table":
            self._cells.close()
        elif name == "table-row":
            self._row += self._row_repeats
        elif self._cell is not None and name in ("table-cell", "covered-table-cell"):
            cell, self._cell = self._cell, None
            filled = "value-type" in cell or "formula" in cell or bool(self._text)
            if filled:
                fault = self._fault(cell)
                last_row, last_column = self._row + self._row_repeats, self._column + self._repeats
                self._cells.found(last_row, last_column)
                if fault is not None:
                    self._cells.span(self._row + 1, last_row, self._column + 1, last_column, fault)
            self._column += self._repeats

    def _fault(self, cell: dict[str, str]) -> str | None:
        formula = cell.get("formula")
        shown = self._text.strip()
        if cell["error"] == "True" or (formula is not None and _ERROR.fullmatch(shown)):
            return shown or "#ERROR!"
        missing = _STORED.get(cell.get("value-type", ""), "value-type") not in cell
        if formula is not None and missing and not (shown and "value-type" not in cell):
            return "=" + formula.partition("=")[2]
        return repr(shown) if missing and "value-type" in cell else None

    def _count(self, found: dict[str, str], name: str, most: int) -> int:
        text = found.get(name, "1")
        if not text.isdecimal() or len(text) > 10 or int(text) > most:
            raise self._too_large(f"{name} {text[:20]!r}")
        return max(int(text), 1)

    def _too_large(self, what: str) -> DeliveryUnreadable:
        return DeliveryUnreadable(
            f"{self._subject}: sheet {self._sheet!r} has {what}; expected at most {_MOST_ROWS:,} rows and"
            f" {_MOST_COLUMNS:,} columns, repeated ones counted. Save it anew, or send CSV."
        )
