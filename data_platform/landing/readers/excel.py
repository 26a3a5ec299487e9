"""Reads a sheet of a workbook (.xlsx, .xls, .ods). A record's number is its row in the sheet, from 1.

Empty rows are no records. `xlsx.py` has what only .xlsx files need.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any
from xml.parsers.expat import ExpatError

import numpy as np
import python_calamine as calamine

from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import ExcelFormat
from data_platform.landing.chunk import Chunk, assemble
from data_platform.landing.decode import MAX_RATIO, RATIO_FROM_BYTES, spooled
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.header import match_header
from data_platform.landing.readers.xlsx import CellFault, faulty_cells
from data_platform.landing.recognize import unlike
from data_platform.landing.text import Readable
from data_platform.values.rejects import Converted
from data_platform.values.typed import mixed_converter_for, spelled

_ROWS = 16_384
_SEARCHED_BYTES = 16 * 2**20
"""Where a workbook with a password says so: its directory may lie at its end."""


class ExcelReader:
    """Reads a decoded stream by way of a temporary file. A workbook's sheet is held in memory as a whole."""

    def __init__(self, stream: Readable, rules: FileFeedSpec, format: ExcelFormat, subject: str) -> None:
        self._subject = subject
        with spooled(stream) as spool:
            _refuse_bomb(spool, rules.max_decoded_bytes, subject)
            self._rows = _sheet(spool, format, subject)
        header = next(self._rows, (0, []))[1]
        match = match_header([str(cell) for cell in _trimmed(header)], rules.contract, subject)
        self._positions, self.contract = match.positions, match.contract
        self._names = [str(cell) for cell in header]
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
        return assemble(self.contract, columns, numbers, lambda row: self._row_text(rows[row][1]))

    def _row_text(self, cells: list[Any]) -> str:
        """The row as JSON."""
        shown = {
            name: cell if isinstance(cell, bool | float) else spelled(cell)
            for name, cell in zip(self._names, cells, strict=False)
        }
        return json.dumps(shown, ensure_ascii=False)


def _sheet(spool: IO[bytes], format: ExcelFormat, subject: str) -> Iterator[tuple[int, list[Any]]]:
    """The rows from the header on, with their numbers."""
    try:
        workbook = calamine.load_workbook(spool)
        names = workbook.sheet_names
        if format.sheet is not None and format.sheet not in names:
            raise DeliveryUnreadable(
                f"{subject}: the workbook has no sheet {format.sheet!r}; it has {', '.join(map(repr, names))}"
            )
        name = format.sheet or names[0]
        faults = faulty_cells(spool, name, subject)
        sheet = workbook.get_sheet_by_name(name)
        rows = sheet.to_python(skip_empty_area=False)
    except (calamine.CalamineError, calamine.PasswordError, zipfile.BadZipFile, OSError, ExpatError) as error:
        spool.seek(0)
        wrong = unlike(spool.read(_SEARCHED_BYTES), "workbook", error, (b"PK", b"\xd0\xcf\x11\xe0"))
        raise DeliveryUnreadable(f"{subject}: {wrong}") from None
    width = len(rows[0]) if rows else 0
    for (row, column), found in faults.items():
        if column <= width:
            rows += ([""] * width for _ in range(row - len(rows)))  # calamine stops at the last row with a value
            rows[row - 1][column - 1] = found
    return islice(enumerate(rows, 1), format.header_row - 1, None)


def _trimmed(header: list[Any]) -> list[Any]:
    """The header without the empty cells that stray formatting leaves at its end."""
    width = len(header)
    while width and header[width - 1] == "":
        width -= 1
    return header[:width]


def _refuse_bomb(spool: IO[bytes], most: int, subject: str) -> None:
    if not zipfile.is_zipfile(spool):
        spool.seek(0)
        return
    packed = spool.seek(0, 2)
    unpacked = sum(member.file_size for member in zipfile.ZipFile(spool).infolist())
    spool.seek(0)
    if unpacked > most or (unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed):
        raise DeliveryUnreadable(
            f"{subject}: {packed} bytes unpack to {unpacked}; this looks like a decompression bomb. If that is"
            " expected, raise the feed's max_decoded_bytes"
        )
