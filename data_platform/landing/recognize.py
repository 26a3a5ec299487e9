"""Recognizes what a file is by its first bytes, so that a message can say what came in place of what was expected."""

from __future__ import annotations

START_BYTES = 4096
"""As many first bytes as recognizing needs."""

_COMPRESS = "set the feed's compression to {}"
_UNPACK = "ask the partner to send it plain, as gzip or as zip"
_FORMAT = "set the feed's format to {}"
_ENCRYPTED = "ask the partner to send it without a password"
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", _COMPRESS.format("gzip")),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\x1f\x9d", "a .Z file (compress)", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PAR1", "a Parquet file", _FORMAT.format("parquet")),
    (b"%PDF-", "a PDF document", "ask the partner for the data behind it"),
    (b"-----BEGIN PGP", "a PGP message", "ask the partner to send it unencrypted"),
)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table")
_CODED_NAME = "EncryptedPackage".encode("utf-16-le")


def recognized(start: bytes) -> tuple[str, str] | None:
    """What a file is that begins so, and what to do where something else is expected; None if it may be plain text or
    is unknown. `start`: the first START_BYTES; of workbooks with a password, all that is at hand."""
    if not start:
        return "empty", "ask the partner to send it again"
    for magic, what, advice in _KNOWN:
        if start.startswith(magic):
            return what, advice
    if start.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in start or b"_rels/" in start or b"xl/" in start:
            return "an Excel workbook (.xlsx)", _FORMAT.format("excel")
        if b"application/vnd.oasis.opendocument" in start:
            return "an OpenDocument file (.ods)", _FORMAT.format("excel")
        return "a zip file", _COMPRESS.format("zip")
    if start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if _CODED_NAME in start:
            return "a workbook with a password", _ENCRYPTED
        return "an old Office file (.xls)", _FORMAT.format("excel")
    if start[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_HTML):
        return "an HTML page", "ask the partner for the data: it may be an error page that was saved in its place"
    return None


def unlike(start: bytes, expected: str, error: object, own: tuple[bytes, ...]) -> str:
    """What is wrong with a file that can't be read as `expected`, and what to do. `error`: the reading library's;
    `own`: how files of the expected kind begin."""
    found = recognized(start)
    if found is not None and start.startswith(own) and found[1] != _ENCRYPTED:
        found = None
    elif found is None and b"\0" not in start[:START_BYTES]:
        found = "plain text", "ask the partner, or change the feed's format and compression"
    if found is None:
        return f"not a valid {expected} ({error}); ask the partner to send it again"
    what, advice = found
    return f"not a valid {expected}: the file is {what}; {advice}"
