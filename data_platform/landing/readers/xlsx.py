"""What an .xlsx sheet says that python-calamine doesn't pass on: cells with errors, which it shows as empty, and
cells far away, for which it would allocate the whole rectangle before them."""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Iterator
from typing import IO

from data_platform.landing.delivery import DeliveryUnreadable

MAX_CELLS = 50_000_000
_PIECE = 1 << 20
_CELL = re.compile(rb"<(?:\w+:)?c\s([^>]*)>(?:<(?:\w+:)?f[^>]*?(?:/>|>[^<]*</(?:\w+:)?f>))?(?:<(?:\w+:)?v>([^<]*)<)?")
_PLACE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_ERROR = re.compile(rb'\bt="e"')
_SHEET = re.compile(r"<(?:\w+:)?sheet\s([^>]*)>")
_RELATIONSHIP = re.compile(r"<(?:\w+:)?Relationship\s([^>]*)>")
_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')


class CellError(str):
    """What a cell shows in place of a value: #DIV/0!, #REF!, …"""

    __slots__ = ()


def error_cells(workbook: IO[bytes], sheet: str, subject: str) -> dict[tuple[int, int], CellError]:
    """The errors of a sheet by (row, column), from 1; none for a workbook that isn't .xlsx.

    Raises DeliveryUnreadable where the cells that there are span more than MAX_CELLS."""
    errors: dict[tuple[int, int], CellError] = {}
    if not zipfile.is_zipfile(workbook):
        return errors
    archive = zipfile.ZipFile(workbook)
    path = _path(archive, sheet)
    if path is None:
        return errors
    last_row = last_column = 1
    for match in _cells(archive, path):
        place = _PLACE.search(match[1])
        if place is None:
            continue
        row, column = int(place[2]), _column_number(place[1])
        last_row, last_column = max(last_row, row), max(last_column, column)
        if last_row * last_column > MAX_CELLS:
            raise DeliveryUnreadable(
                f"{subject}: sheet {sheet!r} reaches to row {last_row} and column {last_column}; more than"
                f" {MAX_CELLS} cells aren't read. Ask the partner to delete stray cells, or to send CSV."
            )
        if _ERROR.search(match[1]):
            errors[row, column] = CellError((match[2] or b"").decode("utf-8", "replace"))
    return errors


def _cells(archive: zipfile.ZipFile, path: str) -> Iterator[re.Match[bytes]]:
    with archive.open(path) as sheet:
        held = b""
        while piece := sheet.read(_PIECE):
            held += piece
            # Up to the last row that is whole; one row is held back at most.
            end = held.rfind(b"</row>")
            end = held.rfind(b":row>") if end < 0 else end
            if end < 0 and len(held) < 16 * _PIECE:
                continue
            yield from _CELL.finditer(held, 0, max(end, 0) or len(held))
            held = held[end:] if end >= 0 else b""
        yield from _CELL.finditer(held)


def _path(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Where the archive keeps a sheet."""
    names = set(archive.namelist())
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
        return None
    workbook = archive.read("xl/workbook.xml").decode("utf-8", "replace")
    relations = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    targets = {
        attributes.get("Id"): attributes.get("Target", "") for attributes in _attributes(_RELATIONSHIP, relations)
    }
    for attributes in _attributes(_SHEET, workbook):
        if attributes.get("name") == sheet:
            target = targets.get(attributes.get("r:id"), "")
            path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            return path if path in names else None
    return None


def _attributes(element: re.Pattern[str], text: str) -> Iterator[dict[str, str]]:
    for match in element.finditer(text):
        yield {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(match[1])}


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
