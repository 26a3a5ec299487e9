"""The cells of an .xlsx sheet that python-calamine doesn't report: errors and formulas without a stored value, which it
shows as empty, and cells far away, for which it would allocate the whole rectangle before them. Values and types are
calamine's (`excel.py`)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from typing import IO
from xml.parsers import expat

from data_platform.landing.delivery import DeliveryUnreadable

MAX_CELLS = 50_000_000
_PLACE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_SEPARATOR = " "
_SHOWN = 200


class CellFault(str):
    """What a cell shows in place of a value: an error (#DIV/0!, #REF!, …), or a formula (=A1+B1) whose value was never
    stored, as programs write workbooks that don't compute them."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """Why the cell has no value."""
        return "holds a formula without a stored value" if self.startswith("=") else f"holds the error {self}"


class _DocumentType(expat.ExpatError):
    """The XML declares a document type, which no workbook needs, and which entities can make a bomb of."""


def faulty_cells(workbook: IO[bytes], sheet: str, subject: str) -> dict[tuple[int, int], CellFault]:
    """The faults of a sheet by (row, column), from 1; none for a workbook that isn't .xlsx.

    Raises DeliveryUnreadable where the sheet's cells span more than MAX_CELLS, ExpatError where the XML is broken."""
    if not zipfile.is_zipfile(workbook):
        return {}
    archive = zipfile.ZipFile(workbook)
    path = _path(archive, sheet)
    if path is None:
        return {}
    found = _Cells(sheet, subject)
    with archive.open(path) as content:
        parser = _parser(found.begin)
        parser.EndElementHandler = found.end
        parser.CharacterDataHandler = found.text
        parser.ParseFile(content)
    return found.faults


class _Cells:
    """Takes a sheet's XML as it is parsed, and keeps no more of it than the faults."""

    def __init__(self, sheet: str, subject: str) -> None:
        self.faults: dict[tuple[int, int], CellFault] = {}
        self._sheet, self._subject = sheet, subject
        self._last_row = self._last_column = 1
        self._at: tuple[int, int] | None = None
        self._type = ""
        self._inside = ""  # f, v or is, whose text comes
        self._formula: str | None = None
        self._value: str | None = None

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            place = _PLACE.fullmatch(attributes.get("r", ""))
            if place is None:
                return
            at = int(place[2]), _column_number(place[1])
            self._last_row, self._last_column = max(self._last_row, at[0]), max(self._last_column, at[1])
            if self._last_row * self._last_column > MAX_CELLS:
                raise DeliveryUnreadable(
                    f"{self._subject}: sheet {self._sheet!r} reaches to row {self._last_row} and column"
                    f" {self._last_column}; expected at most {MAX_CELLS} cells. Ask the partner to delete stray cells,"
                    " or to send CSV."
                )
            self._at, self._type = at, attributes.get("t", "n")
            self._formula = self._value = None
        elif name == "f":
            self._inside, self._formula = name, self._formula or "="
        elif name in ("v", "is"):
            self._inside, self._value = name, self._value or ""

    def text(self, text: str) -> None:
        if self._inside == "f" and self._formula is not None:
            self._formula += text
        elif self._inside and self._value is not None:
            self._value += text

    def end(self, name: str) -> None:
        name = name.rpartition(_SEPARATOR)[2]
        if name == self._inside:
            self._inside = ""
        elif name == "c" and self._at is not None:
            # A stored text may be empty; a stored number can't.
            stored = self._value if self._type == "str" else self._value or None
            if self._type == "e":
                self.faults[self._at] = CellFault(self._value or "")
            elif self._formula is not None and stored is None:
                self.faults[self._at] = CellFault(self._formula[:_SHOWN])
            self._at = None


def _parser(begin: Callable[[str, dict[str, str]], None]) -> expat.XMLParserType:
    """Gives `begin` each element's name and attributes, without their namespaces."""
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)

    def start(name: str, attributes: dict[str, str]) -> None:
        begin(name.rpartition(_SEPARATOR)[2], {key.rpartition(_SEPARATOR)[2]: attributes[key] for key in attributes})

    def refuse(*declared: object) -> None:
        raise _DocumentType("it declares a document type")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    return parser


def _path(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The path of a sheet within the archive."""
    names = set(archive.namelist())
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
        return None
    ids = [found["id"] for found in _elements(archive, "xl/workbook.xml", "sheet") if found.get("name") == sheet]
    for found in _elements(archive, "xl/_rels/workbook.xml.rels", "Relationship"):
        if found.get("Id") in ids[:1]:
            target = found.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            return path if path in names else None
    return None


def _elements(archive: zipfile.ZipFile, path: str, name: str) -> list[dict[str, str]]:
    """The attributes of every element of that name."""
    found: list[dict[str, str]] = []
    with archive.open(path) as content:
        _parser(lambda element, attributes: found.append(attributes) if element == name else None).ParseFile(content)
    return found


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
