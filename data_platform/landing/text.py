"""The encoding of text deliveries: any encoding to UTF-8, and where bytes aren't text.

A byte that the encoding doesn't know breaks its record, not the file, so decoding never fails: it marks the byte,
and `fault_positions` finds the marks.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np

from data_platform.extract.source import OPERATOR
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.recognize import START_BYTES, recognized

_UTF8_MARK = codecs.BOM_UTF8
_OTHER_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_END = re.compile(rb"[\r\n]")
_MARKED = re.compile("[\ud800-\udfff\0]")


LINES_AT_ONCE = 150_000
"""Lines that readers take at once: the shortest lines, each of them a reject, fill a hundred MiB."""


class Readable(Protocol):
    """What reading needs of a stream: as `BinaryIO.read`, but it may return fewer bytes before the end."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


def pieces(stream: Readable, size: int) -> Iterator[bytes]:
    """The stream's bytes, `size` or a little less at a time, and no more lines than LINES_AT_ONCE."""
    while data := _full(stream, size):
        codes = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero((codes == 10) | (codes == 13) if b"\r" in data else codes == 10)
        parts = -(-len(ends) // LINES_AT_ONCE) or 1
        step = -(-len(ends) // parts) or 1  # even parts: a small rest would cost as much as a large one
        cuts = (ends[step - 1 :: step][: parts - 1] + 1).tolist()
        yield from (data[begin:end] for begin, end in pairwise([0, *cuts, len(data)]) if begin < end)


def _full(stream: Readable, size: int) -> bytes:
    """Just as many bytes, and fewer only at the end."""
    data = stream.read(size)
    while data and len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def is_utf8(encoding: str) -> bool:
    """Whether the feed's encoding is UTF-8, with or without a byte order mark."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - registered for decoding only
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("landing.mark", _mark)


class Text:
    """A stream of encoded text as a stream of UTF-8 without byte order mark.

    Raises DeliveryUnreadable where the first bytes show that the file isn't in that encoding at all."""

    def __init__(self, stream: Readable, encoding: str, subject: str) -> None:
        self._stream, self._encoding, self._subject = stream, encoding, subject
        self._last = b""
        self._decoder = None if is_utf8(encoding) else codecs.getincrementaldecoder(encoding)("landing.mark")
        start = b""
        while len(start) < START_BYTES and (more := stream.read(START_BYTES - len(start))):
            start += more
        _refuse_foreign(start, encoding, subject)
        self._start = self._utf8(start).removeprefix(_UTF8_MARK)

    def read(self, size: int, /) -> bytes:
        """About `size` bytes of UTF-8; none at the end."""
        text, self._start = self._start, b""
        while not text:
            delivered = self._stream.read(size)
            text = self._utf8(delivered)
            if not delivered:
                break
        self._last = text[-1:] or self._last
        return text

    def refuse_open_end(self) -> None:
        """Raises DeliveryUnreadable where the text, read to its end, has no line end there."""
        if self._last not in (b"\n", b"\r"):
            raise DeliveryUnreadable(
                f"{self._subject}: the file ends within a line, as a transfer that broke off leaves it; expected a line"
                " end there (the feed says ends_with_newline). Send it again"
            )

    def _utf8(self, delivered: bytes) -> bytes:
        if self._decoder is None:
            return delivered
        try:
            return self._decoder.decode(delivered, final=not delivered).encode("utf-8", "surrogatepass")
        except UnicodeError as error:
            raise DeliveryUnreadable(
                f"{self._subject}: the file isn't {self._encoding} ({error}); send it as {self._encoding}."
                f"{OPERATOR}if the file is right, set format.encoding: utf-16-le or utf-16-be where there is no byte"
                " order mark, utf-8 for"
                " most other files"
            ) from None


def _refuse_foreign(start: bytes, encoding: str, subject: str) -> None:
    if is_utf8(encoding):
        if start.startswith(_OTHER_MARKS):
            raise DeliveryUnreadable(
                f"{subject}: the file begins with the byte order mark of UTF-16 or UTF-32, but the feed says"
                f" {encoding}; send it as {encoding}.{OPERATOR}if the file is right, set format.encoding"
            )
        if len(start) > 1 and (wide := _wide(start)):
            raise DeliveryUnreadable(
                f"{subject}: the file looks like {wide} without a byte order mark, but the feed says {encoding};"
                f" send it as {encoding}.{OPERATOR}if the file is right, set format.encoding to {wide}"
            )
    elif start.startswith(_UTF8_MARK):
        raise DeliveryUnreadable(
            f"{subject}: the file begins with the byte order mark of UTF-8, but the feed says {encoding}; send"
            f" it as {encoding}.{OPERATOR}if the file is right, set format.encoding to utf-8"
        )
    if start and (found := recognized(start)):
        what, advice = found
        raise DeliveryUnreadable(f"{subject}: the file is {what}, not text; {advice}")


def _wide(start: bytes) -> str | None:
    """The encoding of text whose every second byte is NUL, but for a few."""
    for at, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        nuls, others = start[at::2], start[1 - at :: 2]
        if nuls.count(0) * 10 >= len(nuls) * 9 and others.count(0) * 10 < len(others):
            return encoding
    return None


def fault_positions(data: bytes) -> list[int]:
    """Positions of NUL characters and of bytes that aren't UTF-8: the first of each kind in every line."""
    found = []
    place = data.find(0)
    while place >= 0:
        found.append(place)
        place = data.find(0, _next_line(data, place))
    if data.isascii():
        return found
    place, view = 0, memoryview(data)
    while place < len(data):
        try:
            str(view[place:], "utf-8")
            break
        except UnicodeDecodeError as error:
            found.append(place + error.start)
            place = _next_line(data, found[-1])
    return found


def _next_line(data: bytes, place: int) -> int:
    end = _LINE_END.search(data, place)
    return end.end() if end else len(data)


def _shown(record: bytes, encoding: str) -> str:
    """The record with a lone surrogate U+DC00 + byte for each byte that isn't text."""
    if is_utf8(encoding):
        return record.decode("utf-8", "surrogateescape")
    return record.decode("utf-8", "surrogatepass")


def fault(record: bytes, encoding: str) -> str | None:
    """What isn't text in a record, and at which character (from 1), or None."""
    text = _shown(record, encoding)
    match = _MARKED.search(text)
    if match is None:
        return None
    if match[0] == "\0":
        return f"a NUL character at character {match.start() + 1}"
    if not "\udc00" <= match[0] <= "\udcff":
        return f"half a character, \\u{ord(match[0]):04x}, at character {match.start() + 1}"
    return f"byte 0x{ord(match[0]) - 0xDC00:02X} at character {match.start() + 1} is not {encoding}"


def visible(record: bytes, encoding: str) -> str:
    r"""The record as text; a byte that isn't text, or a NUL, as `\xNN`, half a character as `\uNNNN`."""
    return _MARKED.sub(_escaped, _shown(record, encoding))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code & 0xFF:02x}" if code == 0 or 0xDC00 <= code <= 0xDCFF else f"\\u{code:04x}"
