"""Where the records of delimited text begin and end, and which of them are not well formed.

Bytes and positions only; what the fields mean is in `csv.py`. The grammar: a field that begins with the quote
character is quoted and runs to its closing quote (two quotes are one); a quote elsewhere is an ordinary character;
`\\n`, `\\r\\n` and `\\r` outside quotes end a record; empty lines are no records. Text between a closing quote and
the next delimiter, and a quoted field that the file's end cuts off, make a record malformed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from data_platform.landing.text import Readable, pieces

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]

BLOCK_BYTES = 8 * 2**20
# A quote that is never closed makes one record of the rest of the file; this is where reading gives up.
MAX_RECORD_BYTES = 16 * 2**20

_NONE: Positions = np.empty(0, dtype=np.int64)


class RecordTooLong(Exception):
    """A record is longer than MAX_RECORD_BYTES; `reason` is the likely one, with what to do."""

    def __init__(self, record: bytes, quote: bytes | None) -> None:
        self.reason = "it has no line end. Send one record a line"
        if not record.strip(b"\0"):
            self.reason = "it is nothing but NUL bytes, as after a transfer that failed. Send the file again"
        elif quote is not None and quote in record:
            self.reason = f"most likely a field begins with a quote ({quote.decode()}) that is never closed. Close it"
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records. No line end between `quoted_from[i]` and `quoted_to[i]` ends a record. `malformed` maps the
    position where a record starts to why it can't be read."""

    data: bytes
    quoted_from: Positions = field(default_factory=lambda: _NONE)
    quoted_to: Positions = field(default_factory=lambda: _NONE)
    malformed: dict[int, str] = field(default_factory=dict)

    def bounds(self) -> tuple[Positions, Positions]:
        """Start and end (line end not included) of each record."""
        data = np.frombuffer(self.data, np.uint8)
        ends = np.flatnonzero(data == 10)
        if b"\r" in self.data:
            ends = np.flatnonzero((data == 10) | (data == 13))
        if len(self.quoted_from):
            ends = _outside(ends, self.quoted_from, self.quoted_to)
        starts = np.concatenate(([0], ends + 1))
        ends = np.concatenate((ends, [len(self.data)]))
        filled = ends > starts
        return starts[filled], ends[filled]


class Splitter:
    """Cuts delimited text into blocks of whole records. `delimiter` and `quote` are single ASCII characters; without a
    quote every line is a record."""

    def __init__(self, delimiter: str, quote: str | None) -> None:
        self._delimiter = delimiter.encode()
        self._quote = None if quote is None else quote.encode()
        if self._quote is None:
            return
        d, q = re.escape(self._delimiter), re.escape(self._quote)
        # One field: what a quoted one holds, what wrongly follows its closing quote, and what ends it.
        self._field = re.compile(
            rb"(?:(?P<quoted>%b[^%b]*+(?:%b%b[^%b]*+)*+)(?:(?P<closed>%b)(?P<trail>[^%b\r\n]*))?|[^%b\r\n]*+)"
            rb"(?P<end>%b|\r\n|\r|\n|\Z)" % (q, q, q, q, q, q, d, d, d)
        )

    def blocks(self, stream: Readable, size: int = BLOCK_BYTES) -> Iterator[Block]:
        """Blocks of about `size` bytes, or of LINES_AT_ONCE. Raises RecordTooLong."""
        held, wanted = b"", 0
        for more in pieces(stream, size):
            held += more
            if len(held) < wanted:
                continue
            block, end = self._cut(held, final=False)
            if block is None:
                if len(held) > MAX_RECORD_BYTES:
                    raise RecordTooLong(held, self._quote)
                wanted = len(held) * 2
                continue
            held, wanted = held[end:], 0
            yield block
        if held:
            yield self.whole(held)

    def whole(self, data: bytes) -> Block:
        """All of `data`, at whose end the file, or a record, ends."""
        block, _ = self._cut(data, final=True)
        return block or Block(b"")

    def _cut(self, data: bytes, final: bool) -> tuple[Block | None, int]:
        """The records that are whole in `data`, and where they end; all of it is, where `final`."""
        if self._quote is None or self._quote not in data:
            end = len(data) if final else _last_line_end(data)
            return (Block(data[:end]), end) if end else (None, 0)
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == self._quote[0])
        if not self._regular(data, quotes) or (final and len(quotes) % 2):
            return self._scanned(data, quotes, final)
        end = len(data) if final else _last_line_end_outside(data, quotes)
        if not end:
            return None, 0
        quotes = quotes[: int(np.searchsorted(quotes, end))]
        return Block(data[:end], quotes[0::2], quotes[1::2]), end

    def fields(self, record: bytes) -> list[bytes]:
        """The fields of one well-formed record, quotes taken off."""
        if self._quote is None:
            return record.split(self._delimiter)
        found, place, quote = [], 0, self._quote
        while True:
            match = self._field.match(record, place)
            assert match is not None  # noqa: S101 - the pattern matches at any position
            text = match["quoted"]
            whole = record[place : match.start("end")]
            found.append(whole if text is None else text[1:].replace(quote * 2, quote) + (match["trail"] or b""))
            if match["end"] != self._delimiter:
                return found
            place = match.end()

    def _regular(self, data: bytes, quotes: Positions) -> bool:
        """Whether quotes alternate between opening and closing, each next to a delimiter, a line end, an end of the
        data, or another quote (then the two are one character, or an empty field)."""
        text = np.frombuffer(data, np.uint8)
        edges = np.zeros(256, dtype=bool)
        edges[[10, 13, self._delimiter[0]]] = True
        opening, closing = quotes[0::2], quotes[1::2]
        begins = edges[text[opening - 1]] | (opening == 0)
        begins[1:] |= (opening[1:] - closing[: len(opening) - 1]) == 1
        after = np.minimum(closing + 1, len(data) - 1)
        ends = edges[text[after]] | (closing + 1 == len(data))
        follow = opening[1:]
        ends[: len(follow)] |= (follow - closing[: len(follow)]) == 1
        return bool(begins.all() and ends.all())

    def _scanned(self, data: bytes, quotes: Positions, final: bool) -> tuple[Block | None, int]:
        """As `_cut`, field by field through every record that has a quote; records without one are skipped over."""
        begins, ends, malformed = [], [], {}
        done = 0
        for position in quotes.tolist():
            if position < done:
                continue
            start = max(data.rfind(b"\n", done, position), data.rfind(b"\r", done, position)) + 1
            start = max(start, done)
            stop, reason = self._record(data, start, final)
            if stop is None:
                end = start
                break
            if reason:
                malformed[start] = reason
            begins.append(start)
            ends.append(stop)
            done = stop
        else:
            end = len(data) if final else done + _last_line_end(data[done:])
        if not end:
            return None, 0
        return Block(data[:end], np.array(begins, np.int64), np.array(ends, np.int64), malformed), end

    def _record(self, data: bytes, start: int, final: bool) -> tuple[int | None, str | None]:
        """Where the record's line end begins, or None where it isn't whole, and why it is malformed if it is."""
        place, reason, number = start, None, 1
        while True:
            match = self._field.match(data, place)
            if match is None or match.end() == len(data):
                if not final:
                    return None, None
                if match is None or (match["quoted"] is not None and match["closed"] is None):
                    return len(data), f"the file ends within a quoted field (field {number})"
            if match["trail"] and reason is None:
                reason = f"text follows the closing quote of field {number}"
            if match["end"] != self._delimiter:
                return match.start("end"), reason
            place = match.end()
            number += 1


def _outside(positions: Positions, begins: Positions, ends: Positions) -> Positions:
    """The sorted positions that lie in none of the sorted, disjoint spans [begin, end)."""
    first, behind = np.searchsorted(positions, begins), np.searchsorted(positions, ends)
    inside = [np.arange(first[span], behind[span]) for span in np.flatnonzero(first < behind).tolist()]
    return np.delete(positions, np.concatenate(inside)) if inside else positions


def _last_line_end(data: bytes) -> int:
    """Just behind the last line end that is certainly whole (a final `\\r` may be half of one), or 0."""
    return (data.rfind(b"\n") + 1) or (data.rfind(b"\r", 0, len(data) - 1) + 1)


def _last_line_end_outside(data: bytes, quotes: Positions) -> int:
    """As `_last_line_end`, outside quotes."""
    for mark, limit in ((b"\n", len(data)), (b"\r", len(data) - 1)):
        place = data.rfind(mark, 0, limit)
        while place >= 0:
            before = int(np.searchsorted(quotes, place))
            if before % 2 == 0:
                return place + 1
            place = data.rfind(mark, 0, int(quotes[before - 1]))
    return 0
