"""Reads a sheet of a workbook (.xlsx, .xlsb, .xls, .ods). A record's number is its row in the sheet, from 1.

Empty rows are no records. Values are python-calamine's; `cells.py` has what it doesn't report.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any
from xml.parsers.expat import ExpatError

import numpy as np
import python_calamine as calamine

from data_platform.extract.source import OPERATOR
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import ExcelFormat
from data_platform.landing.chunk import Chunk, assemble
from data_platform.landing.decode import MAX_RATIO, RATIO_FROM_BYTES, looks_like_a_bomb, spooled, too_large
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.header import match_header
from data_platform.landing.readers import ods, xls, xlsb, xlsx
from data_platform.landing.readers.cells import CellFault, Cells
from data_platform.landing.recognize import WORKBOOKS, unlike
from data_platform.landing.text import Readable
from data_platform.values.rejects import Converted
from data_platform.values.typed import mixed_converter_for, spelled

_ROWS = 16_384
_BROKEN = (
    *(calamine.CalamineError, calamine.PasswordError, zipfile.BadZipFile, zlib.error, ExpatError, OSError, EOFError),
    *(ValueError, LookupError, NotImplementedError, RuntimeError),
)
"""What the libraries raise where a file is no workbook, or a broken one."""
_SEARCHED_BYTES = 16 * 2**20
"""Where a workbook with a password says so: its directory may lie at its end."""


class ExcelReader:
    """Reads a decoded stream by way of a temporary file. A workbook's sheet is held in memory as a whole."""

    def __init__(self, stream: Readable, rules: FileFeedSpec, format: ExcelFormat, subject: str) -> None:
        self._subject = subject
        with spooled(stream) as spool:
            self._rows = _sheet(spool, rules, format, subject)
        header = next(self._rows, (0, []))[1]
        self._names = [_name_of(cell) for cell in header]
        match = match_header(self._names[: _width(header)], rules.contract, subject)
        self._positions, self.contract = match.positions, match.contract
        self._convert = [mixed_converter_for(column) for column in self.contract.columns]

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once."""
        filled = ((number, row) for number, row in self._rows if any(cell not in ("", None) for cell in row))
        while rows := list(islice(filled, _ROWS)):
            yield self._chunk(rows)

    def _chunk(self, rows: list[tuple[int, list[Any]]]) -> Chunk:
        columns = []
        for place, convert in zip(self._positions, self._convert, strict=True):
            if place is None:
                columns.append(convert([None] * len(rows)))
                continue
            cells = [None if row[place] == "" else row[place] for _, row in rows]
            converted = convert([None if isinstance(cell, CellFault) else cell for cell in cells])
            broken = {at: cell.reason for at, cell in enumerate(cells) if isinstance(cell, CellFault)}
            columns.append(Converted(converted.array, {**converted.bad, **broken}))
        numbers = np.array([number for number, _ in rows], dtype=np.int64)
        return assemble(
            self.contract, columns, numbers, lambda bad: [self._row_text(rows[row][1]) for row in bad.tolist()]
        )

    def _row_text(self, cells: list[Any]) -> str:
        """The row as JSON."""
        shown = {
            name: cell if isinstance(cell, bool | float) else spelled(cell)
            for name, cell in zip(self._names, cells, strict=False)
        }
        return json.dumps(shown, ensure_ascii=False)


def _sheet(spool: IO[bytes], rules: FileFeedSpec, format: ExcelFormat, subject: str) -> Iterator[tuple[int, list[Any]]]:
    """The rows from the header on, with their numbers."""
    try:
        cells = Cells(format.sheet or "the first", subject)
        archive = _archive(spool, rules.max_decoded_bytes, subject)
        package = None if archive is None else xlsx.Package(archive)
        if package is None:
            spool.seek(0)
            if spool.read(len(xls.MAGIC)) != xls.MAGIC:
                raise ValueError("it is neither a zip file nor a compound file")
            xls.find_cells(spool, format.sheet, cells, subject)
        elif ods.CONTENT in package:
            ods.find_cells(package.open(ods.CONTENT), format.sheet, cells, subject)
        spool.seek(0)
        workbook = calamine.load_workbook(spool)
        name = _name(workbook.sheet_names, format, subject)
        if package is not None and ods.CONTENT not in package:
            cells = Cells(name, subject)
            find_cells = xlsb.find_cells if package.workbook.endswith(".bin") else xlsx.find_cells
            find_cells(package, name, cells)
            cells.close()
        rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except DeliveryUnreadable:
        raise
    except _BROKEN as error:
        raise _unreadable(spool, error, subject) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # calamine's, which is no Exception
            raise
        raise _unreadable(spool, error, subject) from None
    width = len(rows[0]) if rows else 0
    for (row, column), found in cells.faults.items():
        if column <= width:
            rows += ([""] * width for _ in range(row - len(rows)))  # calamine stops at the last row with a value
            rows[row - 1][column - 1] = found
    return islice(enumerate(rows, 1), format.header_row - 1, None)


def _name(names: list[str], format: ExcelFormat, subject: str) -> str:
    if format.sheet is None and names:
        return names[0]
    if format.sheet is None or format.sheet not in names:
        wanted = "no sheet" if format.sheet is None else f"no sheet {format.sheet!r}"
        raise DeliveryUnreadable(
            f"{subject}: the workbook has {wanted}; it has {', '.join(map(repr, names[:50])) or 'none'}. Send it"
            f" with that sheet.{OPERATOR}if the file is right, change the feed's format.sheet"
        )
    return format.sheet


def _unreadable(spool: IO[bytes], error: BaseException, subject: str) -> DeliveryUnreadable:
    spool.seek(0)
    wrong = unlike(spool.read(_SEARCHED_BYTES), "workbook", error, WORKBOOKS)
    return DeliveryUnreadable(f"{subject}: {wrong}")


def _width(header: list[Any]) -> int:
    """The header's cells without the empty ones that stray formatting leaves at its end."""
    width = len(header)
    while width and header[width - 1] == "":
        width -= 1
    return width


def _name_of(cell: Any) -> str:
    """A column's name; a year that is a number is 2026, not 2026.0."""
    return str(spelled(cell) if isinstance(cell, float) else cell)


def _archive(spool: IO[bytes], most: int, subject: str) -> zipfile.ZipFile | None:
    """The workbook's zip file, if it is one. Raises DeliveryUnreadable for a bomb."""
    if not zipfile.is_zipfile(spool):
        return None
    packed = spool.seek(0, 2)
    archive = zipfile.ZipFile(spool)
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > most:
        raise too_large(subject, most)
    if unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed:
        raise looks_like_a_bomb(subject, packed)
    return archive
