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
    "empty": b"",
}


@pytest.mark.parametrize(
    ("sent", "format", "compression", "reason"),
    [
        ("xlsx", "csv", "none", "the file is an Excel workbook (.xlsx), not text; set the feed's format to excel"),
        ("xz", "csv", "none", "the file is an xz file, not text; ask the partner to send it plain, as gzip or as zip"),
        ("bzip2", "json_lines", "none", "the file is a bzip2 file, not text"),
        ("zstd", "csv", "gzip", "not a valid gzip file: the file is a zstd file"),
        ("html", "csv", "none", "the file is an HTML page, not text; ask the partner for the data"),
        ("html", "excel", "none", "not a valid workbook: the file is an HTML page"),
        ("password", "excel", "none", "the file is a workbook with a password; ask the partner to send it without"),
        ("text", "excel", "none", "not a valid workbook: the file is plain text"),
        ("empty", "excel", "none", "not a valid workbook: the file is empty; ask the partner to send it again"),
        ("empty", "parquet", "none", "not a valid Parquet file: the file is empty"),
        ("xlsx", "parquet", "none", "not a valid Parquet file: the file is an Excel workbook (.xlsx)"),
        (
            "text",
            "csv",
            "zip",
            "not a valid zip file: the file is plain text; ask the partner, or change",
        ),
        ("parquet", "csv", "none", "the file is a Parquet file, not text; set the feed's format to parquet"),
        ("gzip", "parquet", "none", "not a valid Parquet file: the file is a gzip file; set the feed's compression"),
    ],
)
def test_the_reason_names_what_came_instead(sent: str, format: str, compression: str, reason: str) -> None:
    given: dict[str, Any] = {"source": "p", "table": "f", "pattern": ".*", "compression": compression}
    contract = {"columns": [{"name": "id", "type": "int32"}], "drift": "ignore"}
    rules = FileFeedSpec.of({**given, "format": {"type": format}, "contract": contract})
    with pytest.raises(DeliveryUnreadable) as raised:
        list(DeliveryReader(io.BytesIO(FILES[sent]), rules, file_name="x"))
    assert reason in str(raised.value)
