"""Recognizes what a file is by its first bytes, so that a message can say what came in place of what was expected."""

from __future__ import annotations

import re

from data_platform.extract.source import OPERATOR

START_BYTES = 4096
"""As many first bytes as recognizing needs."""

_AGREED = "send the kind of file that was agreed on." + OPERATOR + "if the feed's files are like that, set its"
_COMPRESS = _AGREED + " compression to {}"
_UNPACK = "send it plain, as gzip or as zip"
_FORMAT = _AGREED + " format to {}"
_ENCRYPTED = "send it without a password"
_PLAIN = "send it unencrypted"
_CONVERT = "send it as CSV, JSON Lines, Parquet or a workbook"
_DATA = "send the data behind it"
WORKBOOKS = ("an Excel workbook", "an OpenDocument file (.ods)", "an old Office file (.xls)")
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", _COMPRESS.format("gzip")),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"\x1f\x9d", "a .Z file (compress)", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"]\0\0", "an lzma file", _UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 file", _UNPACK),
    (b"\xff\x06\0\0sNaPpY", "a snappy file", _UNPACK),
    (b"Obj\x01", "an Avro file", _CONVERT),
    (b"SQLite format 3\0", "an SQLite database", _CONVERT),
    (b"%PDF-", "a PDF document", _DATA),
    (b"{\\rtf", "an RTF document", _DATA),
    (b"\x89PNG", "an image", _DATA),
    (b"\xff\xd8\xff", "an image", _DATA),
    (b"-----BEGIN PGP", "a PGP message", _PLAIN),
)
_WITH_NUL: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", _FORMAT.format("parquet")),
    (b"ORC", "an ORC file", _CONVERT),
    (b"GIF8", "an image", _DATA),
)
"""Beginnings that a column's name may have too; such files have NUL bytes, and text has none."""
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_PGP = re.compile(rb"\x84[\0-\xff]\x03|\x85[\0-\xff]{2}\x03|\xc1[\0-\xff]{1,5}[\x03\x06]|[\x8c\xc3][\0-\xff][\x04\x06]")
"""How an OpenPGP message begins that isn't armored: with a key encrypted to someone, or from a password (RFC 9580)."""
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table")
_CODED_NAME = "EncryptedPackage".encode("utf-16-le")


def recognized(start: bytes) -> tuple[str, str] | None:
    """What a file is that begins so, and what to do where something else is expected; None if it may be plain text or
    is unknown. `start`: the first START_BYTES; of workbooks with a password, all that is at hand."""
    if not start:
        return "empty", "send it again"
    for magic, what, advice in (*_KNOWN, *(_WITH_NUL if b"\0" in start else ())):
        if start.startswith(magic):
            return what, advice
    if _BZIP2.match(start):
        return "a bzip2 file", _UNPACK
    if start.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in start or b"_rels/" in start or b"xl/" in start:
            return WORKBOOKS[0], _FORMAT.format("excel")
        if b"application/vnd.oasis.opendocument" in start or start[30:38] == b"mimetype":
            return WORKBOOKS[1], _FORMAT.format("excel")
        if start[6:7] and start[6] & 1:
            return "a zip file with a password", _ENCRYPTED
        return "a zip file", _COMPRESS.format("zip")
    if start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if _CODED_NAME in start:
            return "a workbook with a password", _ENCRYPTED
        return WORKBOOKS[2], _FORMAT.format("excel")
    if start[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if not start.strip(b"\0"):
        return "nothing but NUL bytes, as after a transfer that failed", "send it again"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML):
        return "an HTML page", "send the data: it may be an error page that was saved in its place"
    if text.startswith(b"<?xml"):
        return ("an HTML page", _DATA) if b"<html" in text else ("an XML document", _CONVERT)
    if _PGP.match(start):
        return "a PGP message", _PLAIN
    return None


def unlike(start: bytes, expected: str, error: object, own: tuple[str, ...]) -> str:
    """What is wrong with a file that can't be read as `expected`, and what to do. `error`: the reading library's;
    `own`: what `recognized` calls files of the expected kind."""
    found = recognized(start)
    if found is not None and found[0] in own:
        found = None
    elif found is None and b"\0" not in start[:START_BYTES]:
        found = "plain text", f"{_AGREED} format and compression accordingly"
    if found is None:
        return f"not a valid {expected} ({error}); send it again"
    what, advice = found
    return f"not a valid {expected}: the file is {what}; {advice}"
