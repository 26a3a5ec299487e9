"""A file of another kind than the feed's: the reason says what it is, and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import Any

import pytest

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.read import DeliveryReader
from data_platform_tests.landing.test_read_formats import parquet, workbook
from data_platform_tests.landing.workbooks import ods, ods_row, xls, xlsb, zipped

CSV = b"id,amt\n1,2.00\n"
PASSWORD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000 + "EncryptedPackage".encode("utf-16-le")
FILES = {
    "gzip": gzip.compress(CSV),
    "xz": lzma.compress(CSV),
    "bzip2": bz2.compress(CSV),
    "zstd": b"\x28\xb5\x2f\xfd\x04",
    "xlsx": workbook([["id"], [1]]),
    "password": PASSWORD,
    "html": b"\xef\xbb\xbf \n<!DOCTYPE HTML><html>",
    "parquet": parquet(id=[1]),
    "text": CSV,
    "xlsb": xlsb([(0, 0, "id")]),
    "xls": xls([(0, 0, "id")]),
    "ods": ods(ods_row("id")),
    "zip": zipped({"id.csv": CSV}),
    "locked": zipped({"id.csv": CSV}).replace(b"PK\x03\x04\x14\0\0", b"PK\x03\x04\x14\0\1"),
    "two": zipped({"a.csv": CSV, "b.csv": CSV}),
    "none": zipped({}),
    "pgp": bytes.fromhex("85020c03") + bytes(range(200)),
    "pgp by password": bytes.fromhex("8c0d0407030292") + bytes(range(200)),
    "pgp armored": b"-----BEGIN PGP MESSAGE-----\n\n",
    "7z": b"7z\xbc\xaf\x27\x1c\0\4",
    "rar": b"Rar!\x1a\x07\1\0",
    "image": b"\x89PNG\r\n\x1a\n\0",
    "orc": b"ORC\x11\0",
    "xml": b'<?xml version="1.0"?>\n<rows/>',
    "xhtml": b'<?xml version="1.0"?>\n<!DOCTYPE html><html>',
    "nuls": bytes(300),
    "utf-16": "id,amt\n1,2.00\n".encode("utf-16-le"),
    "blank": b"\n  \n\n",
    "empty": b"",
}
AGREED = "send the kind of file that was agreed on. Operator: if the feed's files are like that, set its"


@pytest.mark.parametrize(
    ("sent", "format", "compression", "reason"),
    [
        ("xlsx", "csv", "none", f"the file is an Excel workbook, not text; {AGREED} format to excel"),
        ("xz", "csv", "none", "the file is an xz file, not text; send it plain, as gzip or as zip"),
        ("bzip2", "json_lines", "none", "the file is a bzip2 file, not text"),
        ("zstd", "csv", "gzip", "not a valid gzip file: the file is a zstd file"),
        ("html", "csv", "none", "the file is an HTML page, not text; send the data"),
        ("html", "excel", "none", "not a valid workbook: the file is an HTML page"),
        ("password", "excel", "none", "the file is a workbook with a password; send it without"),
        ("text", "excel", "none", "not a valid workbook: the file is plain text"),
        ("empty", "excel", "none", "not a valid workbook: the file is empty; send it again"),
        ("empty", "parquet", "none", "not a valid Parquet file: the file is empty"),
        ("xlsx", "parquet", "none", "not a valid Parquet file: the file is an Excel workbook"),
        (
            "text",
            "csv",
            "zip",
            f"not a valid zip file: the file is plain text; {AGREED} format and compression",
        ),
        ("parquet", "csv", "none", f"the file is a Parquet file, not text; {AGREED} format to parquet"),
        ("xlsb", "csv", "none", "the file is an Excel workbook, not text"),
        (
            "xls",
            "json_lines",
            "none",
            f"the file is an old Office file (.xls), not text; {AGREED} format to excel",
        ),
        ("ods", "csv", "none", "the file is an OpenDocument file (.ods), not text"),
        (
            "xlsx",
            "csv",
            "zip",
            f"is an Excel workbook, not a zip file with one file in it; {AGREED} compression to none and its format to",
        ),
        ("zip", "excel", "none", f"not a valid workbook: the file is a zip file; {AGREED} compression to zip"),
        (
            "locked",
            "csv",
            "none",
            "the file is a zip file with a password, not text; send it without",
        ),
        (
            "two",
            "csv",
            "zip",
            "the zip holds 2 files ('a.csv', 'b.csv'); expected exactly one. Send",
        ),
        ("none", "csv", "zip", "the zip holds no file; expected exactly one"),
        ("pgp", "csv", "none", "the file is a PGP message, not text; send it unencrypted"),
        ("pgp by password", "csv", "gzip", "not a valid gzip file: the file is a PGP message"),
        ("pgp armored", "json_lines", "none", "the file is a PGP message"),
        ("7z", "csv", "zip", "not a valid zip file: the file is a 7z archive; send it plain"),
        ("rar", "csv", "none", "the file is a RAR archive"),
        ("image", "csv", "none", "the file is an image, not text; send the data behind it"),
        ("orc", "parquet", "none", "the file is an ORC file; send it as CSV"),
        ("xml", "csv", "none", "the file is an XML document, not text"),
        ("xhtml", "csv", "none", "the file is an HTML page"),
        ("nuls", "csv", "none", "nothing but NUL bytes, as after a transfer that failed"),
        ("utf-16", "csv", "none", "looks like utf-16-le without a byte order mark, but the feed says utf-8"),
        ("blank", "json_lines", "none", "the file is empty; expected one JSON object a line. Send it again"),
        ("empty", "csv", "none", "the file is empty; expected at least a header row. Send it again"),
        ("gzip", "parquet", "none", f"not a valid Parquet file: the file is a gzip file; {AGREED} compression to gzip"),
    ],
)
def test_the_reason_names_what_came_instead(sent: str, format: str, compression: str, reason: str) -> None:
    given: dict[str, Any] = {"source": "p", "table": "f", "pattern": ".*", "compression": compression}
    contract = {"columns": [{"name": "id", "type": "int32"}], "drift": "ignore"}
    rules = FileFeedSpec.of({**given, "format": {"type": format}, "contract": contract})
    with pytest.raises(DeliveryUnreadable) as raised:
        list(DeliveryReader(io.BytesIO(FILES[sent]), rules, file_name="x"))
    assert reason in str(raised.value)


@pytest.mark.parametrize("name", ["PAR1", "ORCID", "GIF8", "BZhours", "Obj", "Rar!", "\u00c3x"])
def test_a_column_may_be_named_as_another_kind_of_file_begins(name: str) -> None:
    contract = {"columns": [{"name": "a", "type": "int32", "source_name": name}]}
    rules = FileFeedSpec.of({"source": "p", "table": "f", "pattern": ".*", "contract": contract})
    (chunk,) = DeliveryReader(io.BytesIO(f"{name}\n1\n".encode()), rules, file_name="x")
    assert chunk.batch["a"].to_pylist() == [1]
