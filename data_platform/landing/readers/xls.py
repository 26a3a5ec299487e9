"""The cells of every sheet of an .xls file, by its binary records (MS-XLS 2.1) in a compound file (MS-CFB): calamine
reads all sheets, whichever is wanted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from data_platform.landing.readers.cells import ERRORS, Cells

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_END = 0xFFFFFFFA  # sector numbers from here on mean: none
_BEGIN, _EOF, _SHEET, _FORMULA, _ERROR = 0x0809, 0x000A, 0x0085, 0x0006, 0x0205
_RUNS = (0x00BD, 0x00BE)  # MULRK, MULBLANK: their last column is at their end
_CELLS = {_FORMULA, _ERROR, *_RUNS, 0x0201, 0x0203, 0x0204, 0x027E, 0x00FD, 0x00D6}
_MOST_BYTES = 2**30


def find_cells(workbook: IO[bytes], sheet: str | None, cells: Cells, subject: str) -> None:
    """Tells `cells` of those of a sheet (None: the first); checks those of every other. Raises ValueError where the
    file is broken, DeliveryUnreadable where a sheet is too large."""
    try:
        stream = _stream(workbook)
        met = False
        for name, start in [] if stream is None else _sheets(stream):
            chosen = not met and sheet in (None, name)
            met = met or chosen
            found = cells if chosen else Cells(name, subject)
            found.sheet = name
            _find(stream or b"", start, found)
            found.close()
    except (struct.error, IndexError) as error:
        raise ValueError(f"its records are cut off: {error}") from None


def _find(stream: bytes, start: int, cells: Cells) -> None:
    depth = 0
    for kind, data in _records(stream, start):
        depth += (kind == _BEGIN) - (kind == _EOF)
        if kind == _EOF and depth <= 0:
            return
        if kind not in _CELLS or depth != 1 or len(data) < 4:
            continue
        row, column = struct.unpack_from("<HH", data)
        fault = None
        if kind in _RUNS:
            (column,) = struct.unpack_from("<H", data, len(data) - 2)
        elif kind == _ERROR and data[7]:
            fault = ERRORS.get(data[6], "#ERROR!")
        elif kind == _FORMULA and data[12:14] == b"\xff\xff" and data[6] == 2:
            fault = ERRORS.get(data[8], "#ERROR!")
        cells.found(row + 1, column + 1, fault)


def _sheets(stream: bytes) -> Iterator[tuple[str, int]]:
    """Name and place of each sheet."""
    for kind, data in _records(stream, 0):
        if kind == _EOF:
            return
        if kind == _SHEET:
            (start,) = struct.unpack_from("<I", data)
            length, wide, text = data[6], data[7] & 1, data[8:]
            yield text[: length * (1 + wide)].decode("utf-16-le" if wide else "latin-1", "replace"), start


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _stream(workbook: IO[bytes]) -> bytes | None:
    """The content of the compound file's stream `Workbook`, if it has one in BIFF8 of Excel 97 and later."""
    workbook.seek(0)
    data = workbook.read(_MOST_BYTES)
    size, small = (1 << struct.unpack_from("<H", data, at)[0] for at in (30, 32))
    if data[:8] != MAGIC or size not in (512, 4096) or small != 64:
        raise ValueError("its header is broken")

    def sector(number: int) -> bytes:
        return data[(number + 1) * size : (number + 2) * size]

    def chain(start: int, table: tuple[int, ...]) -> Iterator[int]:
        for _ in range(len(table)):  # a chain that comes back to itself ends too
            if start >= _END or start >= len(table):
                return
            yield start
            start = table[start]

    fat_sectors = [number for number in struct.unpack_from("<109I", data, 76) if number < _END]
    (more,) = struct.unpack_from("<I", data, 68)
    for _ in range(len(data) // size):
        if more >= _END:
            break
        *numbers, more = _numbers(sector(more))
        fat_sectors += [number for number in numbers if number < _END]
    fat = tuple(entry for number in fat_sectors[: len(data) // size] for entry in _numbers(sector(number)))
    directory = b"".join(sector(number) for number in chain(struct.unpack_from("<I", data, 48)[0], fat))
    root = None
    for at in range(0, len(directory) - 127, 128):
        entry = directory[at : at + 128]
        name = entry[: max(struct.unpack_from("<H", entry, 64)[0] - 2, 0)].decode("utf-16-le", "replace")
        start, length = struct.unpack_from("<II", entry, 116)
        if entry[66] == 5:
            root = start
        elif name.lower() == "workbook":
            if length >= 4096 or root is None:
                return _whole(b"".join(sector(number) for number in chain(start, fat)), length)
            mini_fat = tuple(
                entry
                for number in chain(struct.unpack_from("<I", data, 60)[0], fat)
                for entry in _numbers(sector(number))
            )
            minis = b"".join(sector(number) for number in chain(root, fat))
            return _whole(b"".join(minis[n * 64 : n * 64 + 64] for n in chain(start, mini_fat)), length)
    return None


def _whole(stream: bytes, length: int) -> bytes:
    if len(stream) < length:
        raise ValueError("it ends before its workbook does")
    return stream[:length]


def _numbers(sector: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(sector) // 4}I", sector[: len(sector) // 4 * 4])
