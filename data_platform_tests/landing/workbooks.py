"""Small workbooks made by hand, with what no program writes: errors, unstored values, cells far away, repeats."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

_ODS = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0">'
    "<office:body><office:spreadsheet>{}</office:spreadsheet></office:body></office:document-content>"
)


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip file of these parts by their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def ods_cell(value: object, attributes: str = "") -> str:
    """A cell with a number or text."""
    if isinstance(value, int | float):
        return f'<table:table-cell office:value-type="float" office:value="{value}" {attributes}/>'
    text = f"<text:p>{escape(str(value))}</text:p>"
    return f'<table:table-cell office:value-type="string" {attributes}>{text}</table:table-cell>'


def ods_row(*cells: object, attributes: str = "") -> str:
    """A row; a str that begins with `<` is a cell as it is."""
    inside = "".join(cell if str(cell).startswith("<") else ods_cell(cell) for cell in cells)  # type: ignore[misc]
    return f"<table:table-row {attributes}>{inside}</table:table-row>"


def ods(*rows: str, sheets: Sequence[tuple[str, Sequence[str]]] = (), cut: int | None = None) -> bytes:
    """An .ods workbook of these rows; `sheets` come after them; `cut`: the characters that its XML ends after."""
    tables = "".join(
        f"<table:table table:name={quoteattr(name)}>{''.join(found)}</table:table>"
        for name, found in (("S", rows), *sheets)
    )
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": _ODS.format(tables)[:cut],
            "META-INF/manifest.xml": manifest,
        }
    )


def xlsx(sheet: str) -> bytes:
    """An .xlsx workbook whose one sheet has this XML as its data."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rel = "http://schemas.openxmlformats.org/package/2006/relationships"
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": f'<Relationships xmlns="{rel}"><Relationship Id="b" Type="{office}/officeDocument"'
            ' Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            '<sheet name="S" sheetId="1" r:id="a"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{rel}"><Relationship Id="a" Type="{office}/worksheet"'
            ' Target="worksheets/sheet1.xml"/></Relationships>',
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
        }
    )


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _record(kind: int, data: bytes = b"") -> bytes:
    kinds = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    sizes = bytes([len(data)]) if len(data) < 0x80 else bytes([len(data) & 0x7F | 0x80, len(data) >> 7])
    return kinds + sizes + data


def xlsb(cells: Sequence[tuple[int, int, object]]) -> bytes:
    """An .xlsb workbook of cells (row, column, value), from 0; bytes are an error's code."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rel = "http://schemas.openxmlformats.org/package/2006/relationships"
    book = _record(131) + _record(143) + _record(156, struct.pack("<II", 0, 1) + _wide("a") + _wide("S")) + _record(144)
    last = -1
    data = _record(129) + _record(148, struct.pack("<IIII", 0, 2, 0, 2)) + _record(145)
    for row, column, value in cells:
        if row != last:
            data += _record(0, struct.pack("<I", row) + bytes(13))
            last = row
        place = struct.pack("<II", column, 0)
        if isinstance(value, bytes):
            data += _record(3, place + value)
        elif isinstance(value, str):
            data += _record(6, place + _wide(value))
        else:
            data += _record(5, place + struct.pack("<d", value))
    data += _record(146) + _record(130)
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "xl/workbook.bin": book + _record(132),
            "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{rel}"><Relationship Id="a" Type="{office}/worksheet"'
            ' Target="worksheets/sheet1.bin"/></Relationships>',
            "xl/worksheets/sheet1.bin": data,
        }
    )


def xls(cells: Sequence[tuple[int, int, object]]) -> bytes:
    """An .xls workbook of cells (row, column, value), from 0; bytes are an error's code."""

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack("<HH", kind, len(data)) + data

    begin = [record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0, 0, 0, 0)) for kind in (0x0005, 0x0010)]
    start = len(begin[0]) + 4 + 8 + 1 + 4
    book = begin[0] + record(0x0085, struct.pack("<IHBB", start, 0, 1, 0) + b"S") + record(0x000A, b"")
    sheet = begin[1]
    for row, column, value in cells:
        place = struct.pack("<HHH", row, column, 0)
        if isinstance(value, bytes):
            sheet += record(0x0205, place + value + b"\1")
        elif isinstance(value, str):
            sheet += record(0x0204, place + struct.pack("<HB", len(value), 0) + value.encode("latin-1"))
        else:
            sheet += record(0x0203, place + struct.pack("<d", value))
    stream = (book + sheet + record(0x000A, b"")).ljust(4096, b"\0")
    stream += bytes(-len(stream) % 512)
    sectors, end, free = len(stream) // 512, 0xFFFFFFFE, 0xFFFFFFFF
    fat = [0xFFFFFFFD, end, *range(3, sectors + 2), end]
    header = struct.pack("<8s16sHHHHH6sIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"",
                         0, 1, 1, 0, 4096, end, 0, end, 0)  # fmt: skip
    header += struct.pack("<109I", 0, *[free] * 108)

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        coded = (name + "\0").encode("utf-16-le")
        return struct.pack("<64sHBBIII36sIQ", coded, len(coded), kind, 1, free, free, child, b"", start, size)

    directory = entry("Root Entry", 5, 1, end, 0) + entry("Workbook", 2, free, 2, len(stream))
    return header + struct.pack(f"<{len(fat)}I", *fat).ljust(512, b"\xff") + directory.ljust(512, b"\0") + stream
