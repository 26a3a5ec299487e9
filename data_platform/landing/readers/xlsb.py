"""The cells of a sheet of an .xlsb file, by its binary records (MS-XLSB 2.1.4)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from data_platform.landing.readers.cells import ERRORS, Cells
from data_platform.landing.readers.xlsx import Package

_ROW, _SHEET = 0, 156  # BrtRowHdr, BrtBundleSh
_CELLS = range(1, 12)  # BrtCellBlank to BrtFmlaError
_ERRORS = (3, 11)  # BrtCellError, BrtFmlaError
_LONGEST = 2**20


def find_cells(package: Package, sheet: str, cells: Cells) -> None:
    """Tells `cells` of the sheet's. Raises ValueError where the records are broken, KeyError where a part is
    missing."""
    with package.open(package.workbook) as content:
        named = [_texts(data, 8) for kind, data in _records(content) if kind == _SHEET]
    ids = {name: id for id, name in reversed(named)}
    row = 0
    with package.open(package.sheet(ids[sheet])) as content:
        for kind, data in _records(content):
            if kind == _ROW and len(data) >= 4:
                (row,) = struct.unpack_from("<I", data)
            elif kind in _CELLS and len(data) >= 8:
                (column,) = struct.unpack_from("<I", data)
                fault = ERRORS.get(data[8], "#ERROR!") if kind in _ERRORS and len(data) > 8 else None
                cells.found(row + 1, column + 1, fault)


def _records(content: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The type and data of each record; a type has one or two bytes, a size one to four, seven bits each."""
    while first := content.read(1):
        kind = first[0]
        if kind & 0x80:
            kind = kind & 0x7F | _byte(content) << 7
        size = shift = 0
        while shift < 28:
            byte = _byte(content)
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        data = content.read(min(size, _LONGEST))
        if size > _LONGEST:
            content.read(size - _LONGEST)
        yield kind, data


def _byte(content: IO[bytes]) -> int:
    byte = content.read(1)
    if not byte:
        raise ValueError("a record is cut off")
    return byte[0]


def _texts(data: bytes, at: int) -> list[str]:
    """Two texts, each behind its length in characters of UTF-16."""
    found = []
    for _ in range(2):
        if at + 4 > len(data):
            raise ValueError("a sheet's record is cut off")
        end = at + 4 + 2 * int(struct.unpack_from("<I", data, at)[0])
        found.append(data[at + 4 : end].decode("utf-16-le", "replace"))
        at = end
    return found
