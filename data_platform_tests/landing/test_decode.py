"""Deliveries that can't be what the feed says they are, and deliveries that are but look odd."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing import decode
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.read import DeliveryReader

CSV = b"meter_id,flow\nA,1\nB,2\n"


def rules(**change: Any) -> FileFeedSpec:
    columns = [{"name": "meter_id", "type": "string"}, {"name": "flow", "type": "int32"}]
    return FileFeedSpec.of(
        {"source": "harbor_water", "table": "meters", "pattern": ".*", "contract": {"columns": columns}} | change
    )


def flows(data: bytes, **change: Any) -> list[int]:
    reader = DeliveryReader(io.BytesIO(data), rules(**change), file_name="m.csv")
    return [flow for chunk in reader for flow in chunk.batch["flow"].to_pylist()]


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


class Trickle(io.RawIOBase):
    """A stream that gives a byte at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(1)


def test_the_hash_and_the_count_are_of_the_bytes_as_delivered() -> None:
    data = gzip.compress(CSV)
    reader = DeliveryReader(io.BytesIO(data), rules(compression="gzip"), file_name="m.csv.gz")
    assert sum(chunk.rows_read for chunk in reader) == 2
    assert (reader.content_bytes, reader.content_sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_caller_that_stops_early_can_still_have_the_hash() -> None:
    reader = DeliveryReader(io.BytesIO(CSV), rules(), file_name="m.csv")
    reader.drain()
    assert reader.content_sha256 == hashlib.sha256(CSV).hexdigest()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.booleans())
def test_gzip_of_several_members_padded_with_zeros_is_one_file(cuts: int, padded: bool) -> None:
    parts = [CSV[: 5 * cuts], CSV[5 * cuts :]]
    data = b"".join(gzip.compress(part) for part in parts) + (b"\0" * 512 if padded else b"")
    assert flows(data, compression="gzip") == [1, 2]


def test_a_slow_stream_is_read_to_its_end() -> None:
    reader = DeliveryReader(Trickle(gzip.compress(CSV)), rules(compression="gzip"), file_name="m")  # type: ignore[arg-type]
    assert sum(chunk.rows_read for chunk in reader) == 2


@given(st.integers(1, len(gzip.compress(CSV, mtime=0)) - 1))
def test_gzip_cut_off_anywhere_is_unreadable(length: int) -> None:
    with pytest.raises(DeliveryUnreadable, match=r"harbor_water/meters: m\.csv: the gzip file is cut off"):
        flows(gzip.compress(CSV, mtime=0)[:length], compression="gzip")


@pytest.mark.parametrize(
    ("data", "change", "message"),
    [
        (b"", {}, "the file is empty"),
        (b"\n\n", {}, "the file is empty"),
        (b"\xef\xbb\xbf", {}, "the file is empty"),
        (b"", {"compression": "gzip"}, "the gzip file is empty"),
        (CSV, {"compression": "gzip"}, "not a valid gzip file"),
        (gzip.compress(CSV) + b"junk", {"compression": "gzip"}, "not a valid gzip file"),
        (gzip.compress(CSV), {}, "the file is a gzip file, not text; send .* Operator: .* set its compression to gzip"),
        (
            zipped({"m.csv": CSV}),
            {},
            "the file is a zip file, not text; send .* Operator: .* set its compression to zip",
        ),
        (CSV, {"compression": "zip"}, "not a valid zip file"),
        (zipped({"m.csv": CSV})[:-30], {"compression": "zip"}, "not a valid zip file"),
        (zipped({}), {"compression": "zip"}, "the zip holds no file"),
        (zipped({"a.csv": CSV, "b.csv": CSV}), {"compression": "zip"}, "the zip holds 2 files"),
        (zipped({"in/m.csv": CSV}), {"compression": "zip"}, "is in a folder: 'in/m.csv'"),
        (zipped({"../m.csv": CSV}), {"compression": "zip"}, "is in a folder"),
        (CSV.decode().encode("utf-16"), {}, "the byte order mark of UTF-16"),
        (b"\xef\xbb\xbf" + CSV, {"format": {"type": "csv", "encoding": "cp1252"}}, "byte order mark of UTF-8"),
        (b"meter_id,fl\xf6w\nA,1\n", {}, r"header row .*fl\\\\xf6w.* byte 0xF6 at character 12 is not utf-8"),
        (b'meter_id,"flow\nA,1\n', {}, "the file ends within a quoted field"),
        (CSV, {"max_decoded_bytes": 10}, r"more than 10 bytes, .* raise the feed's max_decoded_bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip's bytes hold the time
)
def test_what_cant_be_read_is_refused_with_the_reason(data: bytes, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeliveryUnreadable, match=message):
        flows(data, **change)


def test_an_encrypted_zip_is_unreadable() -> None:
    data = bytearray(zipped({"m.csv": CSV}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DeliveryUnreadable, match="the zip is encrypted"):
        flows(bytes(data), compression="zip")


def test_a_zip_whose_content_is_damaged_is_unreadable() -> None:
    data = bytearray(zipped({"m.csv": CSV}))
    data[data.index(b"PK\x01\x02") + 16] ^= 0xFF
    data[14] ^= 0xFF
    with pytest.raises(DeliveryUnreadable, match="the zip file is broken"):
        flows(bytes(data), compression="zip")


def test_a_zip_of_one_file_is_read() -> None:
    assert flows(zipped({"m.csv": CSV}), compression="zip") == [1, 2]


@pytest.mark.parametrize("compression", ["gzip", "zip"])
def test_a_bomb_is_refused_before_it_has_unpacked(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "RATIO_FROM_BYTES", 1 << 20)
    content = CSV + b"C,3\n" * (4 << 20)
    data = zlib.compress(content, 9, wbits=31) if compression == "gzip" else zipped({"m.csv": content})
    with pytest.raises(DeliveryUnreadable, match="looks like a decompression bomb"):
        flows(data, compression=compression)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1", "cp437"])
def test_text_is_read_in_the_feeds_encoding(encoding: str) -> None:
    text = "meter_id,flow\r\nZähler,1\r\n"
    reader = DeliveryReader(
        io.BytesIO(text.encode(encoding)), rules(format={"type": "csv", "encoding": encoding}), file_name="m.csv"
    )
    assert [row["meter_id"] for chunk in reader for row in chunk.batch.to_pylist()] == ["Zähler"]


@pytest.mark.parametrize(
    ("encoding", "bad", "reason", "shown"),
    [
        ("utf-8", b"Z\xe9", "byte 0xE9 at character 2 is not utf-8", "Z\\xe9,1"),
        ("utf-8", b"Z\xed\xb2\x81", "byte 0xED at character 2 is not utf-8", "Z\\xed\\xb2\\x81,1"),
        ("cp1252", b"Z\x81", "byte 0x81 at character 2 is not cp1252", "Z\\x81,1"),
        ("ascii", b"Z\xe9", "byte 0xE9 at character 2 is not ascii", "Z\\xe9,1"),
        ("utf-8", b"Z\0", "a NUL character at character 2", "Z\\x00,1"),
    ],
)
def test_a_byte_that_isnt_text_breaks_its_record_only(encoding: str, bad: bytes, reason: str, shown: str) -> None:
    data = b"meter_id,flow\nA,1\n" + bad + b",1\nB,2\n"
    reader = DeliveryReader(io.BytesIO(data), rules(format={"type": "csv", "encoding": encoding}), file_name="m.csv")
    chunks = list(reader)
    assert [row["_record_number"] for chunk in chunks for row in chunk.batch.to_pylist()] == [1, 3]
    assert [row for chunk in chunks for row in chunk.rejects.to_pylist()] == [
        {"record_number": 2, "column_name": None, "reason": reason, "raw_text": shown}
    ]
