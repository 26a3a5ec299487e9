"""Unpacks the delivered bytes to those of the feed's format: hashing, gzip, zip, and limits against bombs.

Encodings of text are in `text.py`. Streams are read once and forward; formats that need random access (zip, Parquet,
Excel) are spooled to a temporary file on the local disk.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zipfile
import zlib
from typing import IO, BinaryIO, cast

from data_platform.extract.source import OPERATOR
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.recognize import START_BYTES, WORKBOOKS, recognized, unlike
from data_platform.landing.text import Readable

# Text compresses 5 to 30 times; a large file with a higher ratio than this is a bomb.
MAX_RATIO = 200
RATIO_FROM_BYTES = 64 * 2**20
_PIECE = 1 << 20


class Delivered:
    """The stream as delivered. Counts and hashes what is read of it: all of it, once `drain` has been called."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._hash = stream, hashlib.sha256()
        self.size = 0
        self.start = b""
        """The first bytes, for messages."""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        pieces = []
        while size > 0 and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._hash.update(data)
        if self.size < START_BYTES:
            self.start += data[: START_BYTES - self.size]
        self.size += len(data)
        return data

    def drain(self) -> None:
        """Reads what is left, so that count and hash are of the whole."""
        while self.read(_PIECE):
            pass

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, in hex."""
        return self._hash.hexdigest()


class _Limited:
    """Stops a stream that grows beyond what the feed allows."""

    def __init__(self, inner: Readable, delivered: Delivered, rules: FileFeedSpec, subject: str) -> None:
        self._inner, self._delivered, self._subject = inner, delivered, subject
        self._most, self._size = rules.max_decoded_bytes, 0

    def read(self, size: int, /) -> bytes:
        data = self._inner.read(size)
        self._size += len(data)
        if self._size > self._most:
            raise too_large(self._subject, self._most)
        if self._size > RATIO_FROM_BYTES and self._size > MAX_RATIO * self._delivered.size:
            raise looks_like_a_bomb(self._subject, self._delivered.size)
        return data


class _Gunzip:
    """The content of a gzip file of one or more members, whose faults are DeliveryUnreadable."""

    def __init__(self, delivered: Delivered, subject: str) -> None:
        self._delivered, self._subject = delivered, subject
        self._file = gzip.GzipFile(fileobj=cast(IO[bytes], delivered))

    def read(self, size: int, /) -> bytes:
        try:
            data = self._file.read(size)
        except (zlib.error, gzip.BadGzipFile) as error:
            if self._delivered.size > 1:  # a lone byte can't be told from a header that is cut off
                self._delivered.read(START_BYTES)  # gzip reads few bytes before it gives up
                wrong = unlike(self._delivered.start, "gzip file", error, ("a gzip file",))
                raise DeliveryUnreadable(f"{self._subject}: {wrong}") from None
            raise self._incomplete("is cut off") from None
        except EOFError:
            raise self._incomplete("is cut off") from None
        if not data and not self._delivered.size:
            raise self._incomplete("is empty")
        return data

    def _incomplete(self, what: str) -> DeliveryUnreadable:
        return DeliveryUnreadable(f"{self._subject}: the gzip file {what}; send it again")


def too_large(subject: str, most: int) -> DeliveryUnreadable:
    """Of a file that unpacks to more than its feed takes."""
    return DeliveryUnreadable(
        f"{subject}: the file unpacks to more than {most:,} bytes, the most that its feed takes. Send the rows in"
        f" several files.{OPERATOR}if such files are right, raise the feed's max_decoded_bytes"
    )


def too_many(what: str, rules: FileFeedSpec, subject: str, size: int) -> DeliveryUnreadable:
    """Of a file with so many rows, or elements of lists, in so few bytes that they say nothing."""
    return DeliveryUnreadable(
        f"{subject}: {size} bytes hold more than {rules.most_rows(size):,} {what}; this looks like a decompression"
        f" bomb. Send the rows in several files.{OPERATOR}if they must be in one, set the feed's max_rows"
    )


def looks_like_a_bomb(subject: str, packed: int) -> DeliveryUnreadable:
    """Of a file that unpacks to far more than it has bytes."""
    return DeliveryUnreadable(
        f"{subject}: {packed:,} bytes unpack to more than {MAX_RATIO} times as many; this looks like a decompression"
        f" bomb. If it is none, send the rows in files that unpack to less than {RATIO_FROM_BYTES // 2**20} MiB each"
    )


def most_decoded(rules: FileFeedSpec, size: int) -> int:
    """The most bytes that a file of `size` bytes may unpack to."""
    if rules.compression == "none":
        return size
    return min(rules.max_decoded_bytes, max(RATIO_FROM_BYTES, MAX_RATIO * size))


def decoded(delivered: Delivered, rules: FileFeedSpec, subject: str) -> Readable:
    """The content, unpacked as the feed's `compression` says. Raises DeliveryUnreadable, here or when read."""
    inner: Readable = delivered
    if rules.compression == "gzip":
        inner = _Gunzip(delivered, subject)
    elif rules.compression == "zip":
        inner = _unzipped(delivered, rules, subject)
    return _Limited(inner, delivered, rules, subject)


def spooled(stream: Readable) -> IO[bytes]:
    """The whole stream in a temporary file, deleted when closed."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    while data := stream.read(_PIECE):
        spool.write(data)
    spool.seek(0)
    return spool


class _Member:
    """The one file in a zip archive."""

    def __init__(self, member: IO[bytes], subject: str) -> None:
        self._member, self._subject = member, subject

    def read(self, size: int, /) -> bytes:
        try:
            pieces = []
            while size > 0 and (piece := self._member.read(size)):
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DeliveryUnreadable(f"{self._subject}: the zip file is broken ({error}); send it again") from None


def _unzipped(delivered: Delivered, rules: FileFeedSpec, subject: str) -> Readable:
    spool = spooled(_Limited(delivered, delivered, rules, subject))
    try:
        archive = zipfile.ZipFile(spool)
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            found, _ = recognized(delivered.start) or ("", "")
            if found in WORKBOOKS:
                raise DeliveryUnreadable(
                    f"{subject}: the file is {found}, not a zip file with one file in it; send the kind of file that"
                    f" was agreed on.{OPERATOR}if the feed's files are like that, set its compression to none and its"
                    " format to excel"
                )
            named = ", ".join(repr(member.filename[:100]) for member in members[:5])
            held = f"{len(members)} files ({named}{', …' if len(members) > 5 else ''})" if members else "no file"
            raise DeliveryUnreadable(f"{subject}: the zip holds {held}; expected exactly one. Send one file per zip")
        (member,) = members
        if "/" in member.filename or "\\" in member.filename:
            raise DeliveryUnreadable(
                f"{subject}: the zip's file is in a folder: {member.filename[:200]!r}; expected it at the top. Zip the"
                " file alone"
            )
        if member.flag_bits & 0x1:
            raise DeliveryUnreadable(f"{subject}: the zip is encrypted; send it without password")
        return _Member(archive.open(member), subject)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        wrong = unlike(delivered.start, "zip file", error, ("a zip file",))
        raise DeliveryUnreadable(f"{subject}: {wrong}") from None
