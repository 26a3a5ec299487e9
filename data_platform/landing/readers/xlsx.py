"""The cells of a sheet of an .xlsx file, by its XML; and what .xlsx and .xlsb share: a zip of parts (`Package`)."""

from __future__ import annotations

import posixpath
import re
import zipfile
from functools import cached_property
from typing import IO

from data_platform.landing.readers.cells import Cells, local, xml_parser

_PLACE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")


class Package:
    """The parts of an Office file, found as Office and calamine find them: whatever their case."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {name.replace("\\", "/").lower(): name for name in archive.namelist()}

    def __contains__(self, path: str) -> bool:
        return path.lower() in self._names

    def open(self, path: str) -> IO[bytes]:
        """The part's content. Raises KeyError."""
        return self._archive.open(self._names[path.lower()])

    @cached_property
    def workbook(self) -> str:
        """The path of the workbook's part, which lists the sheets."""
        for found in self.elements("_rels/.rels", "Relationship") if "_rels/.rels" in self else ():
            if found.get("Type", "").endswith("/officeDocument"):
                return found.get("Target", "").lstrip("/")
        return "xl/workbook.bin" if "xl/workbook.bin" in self else "xl/workbook.xml"

    def sheet(self, id: str) -> str:
        """The path of the part that the workbook's relations give this id. Raises KeyError."""
        folder, _, name = self.workbook.rpartition("/")
        for found in self.elements(posixpath.join(folder, "_rels", f"{name}.rels"), "Relationship"):
            if found.get("Id") == id:
                target = found.get("Target", "")
                return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
        raise KeyError(f"there is no relation {id!r} of the workbook")

    def elements(self, path: str, name: str) -> list[dict[str, str]]:
        """The attributes, without namespaces, of every element of that name."""
        found: list[dict[str, str]] = []

        def begin(element: str, attributes: dict[str, str]) -> None:
            if local(element) == name:
                found.append({local(key): value for key, value in attributes.items()})

        parser = xml_parser()
        parser.StartElementHandler = begin
        with self.open(path) as content:
            parser.ParseFile(content)
        return found


def find_cells(package: Package, sheet: str, cells: Cells) -> None:
    """Tells `cells` of the sheet's. Raises ExpatError where the XML is broken, KeyError where a part is missing."""
    ids = {found.get("name"): found.get("id", "") for found in reversed(package.elements(package.workbook, "sheet"))}
    with package.open(package.sheet(ids[sheet])) as content:
        _Sheet(cells).parse(content)


class _Sheet:
    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._row = self._column = 0
        self._type: str | None = None  # of the cell that is open
        self._inside = ""  # f, v or is, whose text comes
        self._formula: str | None = None
        self._value: str | None = None

    def parse(self, content: IO[bytes]) -> None:
        parser = xml_parser()
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ParseFile(content)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        if name == "row":
            number = attributes.get("r", "")
            self._row, self._column = int(number) if number.isdecimal() else self._row + 1, 0
        elif name == "c":
            place = _PLACE.fullmatch(attributes.get("r", "").upper())
            if place is None:  # a cell may leave out where it is: behind the one before
                self._column += 1
            else:
                self._row, self._column = int(place[2]), _column_number(place[1])
            self._type = attributes.get("t", "n")
            self._formula = self._value = None
        elif name == "f":
            self._inside, self._formula = name, self._formula or "="
        elif name in ("v", "is"):
            self._inside, self._value = name, self._value or ""

    def _text(self, text: str) -> None:
        if self._inside == "f" and self._formula is not None:
            self._formula += text
        elif self._inside and self._value is not None:
            self._value += text

    def _end(self, name: str) -> None:
        name = local(name)
        if name == self._inside:
            self._inside = ""
        elif name == "c" and self._type is not None:
            # A stored text may be empty; a stored number can't.
            stored = self._value if self._type == "str" else self._value or None
            fault = self._value or "" if self._type == "e" else self._formula if stored is None else None
            self._cells.found(max(self._row, 1), self._column, fault)
            self._type = None


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
