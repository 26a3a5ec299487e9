"""The cells of an .xlsx sheet that python-calamine doesn't report: errors, which it shows as empty, and cells far away,
for which it would allocate the whole rectangle before them. Values and types are calamine's (`excel.py`)."""

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


class CellError(str):
    """The error that a cell shows in place of a value: #DIV/0!, #REF!, …"""

    __slots__ = ()


class _DocumentType(expat.ExpatError):
    """The XML declares a document type, which no workbook needs, and which entities can make a bomb of."""


def error_cells(workbook: IO[bytes], sheet: str, subject: str) -> dict[tuple[int, int], CellError]:
    """The errors of a sheet by (row, column), from 1; none for a workbook that isn't .xlsx.

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
    return found.errors


class _Cells:
    """Takes a sheet's XML as it is parsed, and keeps no more of it than the errors."""

    def __init__(self, sheet: str, subject: str) -> None:
        self.errors: dict[tuple[int, int], CellError] = {}
        self._sheet, self._subject = sheet, subject
        self._last_row = self._last_column = 1
        self._error_at: tuple[int, int] | None = None
        self._in_value = False

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
            if attributes.get("t") == "e":
                self._error_at = at
                self.errors[at] = CellError("")
        elif name == "v":
            self._in_value = self._error_at is not None

    def text(self, text: str) -> None:
        if self._in_value and self._error_at is not None:
            self.errors[self._error_at] = CellError(self.errors[self._error_at] + text)

    def end(self, name: str) -> None:
        if name.endswith(_SEPARATOR + "v"):
            self._in_value = False
        elif name.endswith(_SEPARATOR + "c"):
            self._error_at = None


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
