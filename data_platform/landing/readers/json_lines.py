"""JSON Lines: an object a line. A record's number counts lines that aren't blank, from 1.

Numbers keep the text that they are written with, so that a decimal is never a float on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

import numpy as np
import pyarrow as pa

from data_platform.extract.source import OPERATOR
from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import JsonLinesFormat
from data_platform.landing.chunk import Chunk, assemble
from data_platform.landing.decode import spooled
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable
from data_platform.landing.header import evolved
from data_platform.landing.text import Readable, Text, fault, pieces, visible
from data_platform.values.json_values import json_converter_for
from data_platform.values.rejects import Converted, reject_batch
from data_platform.values.rule import BadValue, shown
from data_platform.values.typed import NumberText
from data_platform.values.words import parsed_json

_BLOCK_BYTES = 4 * 2**20
_MAX_LINE_BYTES = 16 * 2**20
ROW_BYTES = 3
"""The least that an object and its line end take."""


class JsonLinesReader:
    """Reads a decoded stream. Where drift may add columns the file is read twice, through a temporary file: only
    its end shows which members its objects have."""

    def __init__(self, stream: Readable, rules: FileFeedSpec, format: JsonLinesFormat, subject: str) -> None:
        self._subject, self._encoding = subject, format.encoding
        self._delivered = Text(stream, format.encoding, subject)
        self._text: Readable = self._delivered
        self._ends_with_newline = format.ends_with_newline
        self.contract = rules.contract
        self._declared = len(rules.contract.columns)
        self._expected = [column.header for column in rules.contract.columns[:20]]
        self._spool: IO[bytes] | None = None
        if rules.contract.drift == "evolve":
            self._spool = spooled(self._text)
            unknown = self._unknown_members(self._spool)
            if unknown:
                self.contract = evolved(rules.contract, unknown, subject)
            self._spool.seek(0)
            self._text = self._spool
        self._convert: list[Callable[[Sequence[Any]], Converted]] = [
            json_converter_for(column) for column in self.contract.columns
        ]

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, once."""
        done = 0
        try:
            lines = self._blocks(self._text)
            first = next(lines, None)
            if first is None:
                raise DeliveryUnreadable(
                    f"{self._subject}: the file is empty; expected one JSON object a line. Send it again"
                )
            for block in chain([first], lines):
                yield self._chunk(block, done)
                done += len(block)
            if self._ends_with_newline:
                self._delivered.refuse_open_end()
        finally:
            if self._spool is not None:
                self._spool.close()

    def _blocks(self, text: Readable) -> Iterator[list[bytes]]:
        """Lines that aren't blank, some MiB of them at a time."""
        held, done = b"", 0
        for more in pieces(text, _BLOCK_BYTES):
            end = more.rfind(b"\n") + 1
            if end:
                if lines := _lines(held + more[:end]):
                    yield lines
                    done += len(lines)
                held = more[end:]
            else:
                held += more
            if len(held) > _MAX_LINE_BYTES:
                raise DeliveryUnreadable(
                    f"{self._subject}: record {done + 1} is longer than {_MAX_LINE_BYTES // 2**20} MiB; expected one"
                    " JSON object a line. Send it so"
                )
        if lines := _lines(held):
            yield lines

    def _unknown_members(self, spool: IO[bytes]) -> list[str]:
        known = _members(self.contract)
        found: dict[str, None] = {}
        for block in self._blocks(spool):
            for line in block:
                try:
                    found |= dict.fromkeys(
                        name for name in map(str.strip, self._object(line)) if name.lower() not in known
                    )
                except BadValue:
                    continue
        return [name for name in found if name]

    def _object(self, line: bytes) -> dict[str, Any]:
        """The object of a line. Raises BadValue."""
        wrong = fault(line, self._encoding)
        if wrong:
            raise BadValue(wrong)
        text = line.decode()
        value = parsed_json(text, NumberText)
        if not isinstance(value, dict):
            what = " but an array: expected one object a line, not a list of them" if isinstance(value, list) else ""
            raise BadValue(f"{shown(text)} is not a JSON object{what}")
        return value

    def _chunk(self, lines: list[bytes], done: int) -> Chunk:
        known = _members(self.contract)
        rows: list[list[Any]] = []
        numbers: list[int] = []
        broken: list[tuple[int, str, str]] = []
        for number, line in enumerate(lines, done + 1):
            try:
                rows.append(self._row(self._object(line), known, number))
                numbers.append(number)
            except BadValue as error:
                broken.append((number, str(error), visible(line, self._encoding)))
        columns = [convert([row[at] for row in rows]) for at, convert in enumerate(self._convert)]
        return assemble(
            self.contract,
            columns,
            np.array(numbers, dtype=np.int64),
            lambda rows: [visible(lines[numbers[row] - done - 1], self._encoding) for row in rows.tolist()],
            [_broken_batch(broken)],
        )

    def _row(self, found: dict[str, Any], known: dict[str, int], number: int) -> list[Any]:
        row: list[Any] = [None] * len(self.contract.columns)
        seen: set[int] = set()
        for name, value in found.items():
            at = known.get(name.strip(), known.get(name.strip().lower()))
            if at is None:
                if self.contract.drift == "evolve":
                    raise BadValue("a member has no name")
                if self.contract.drift == "reject":
                    raise ContractViolation(
                        f"{self._subject}: the contract doesn't know the member {name!r} (record {number}); expected"
                        f" {', '.join(repr(column.header) for column in self.contract.columns)}. Leave it"
                        f" out.{OPERATOR}if the file is right, add it to the feed's contract, or set its drift to"
                        " evolve or ignore"
                    )
                continue
            if at in seen:
                raise BadValue(f"two members are the column {self.contract.columns[at].name}")
            seen.add(at)
            row[at] = value
        if all(at >= self._declared for at in seen):
            raise BadValue(f"has none of the members {', '.join(map(repr, self._expected))}")
        return row


def _broken_batch(broken: list[tuple[int, str, str]]) -> pa.RecordBatch:
    numbers, reasons, texts = zip(*broken, strict=True) if broken else ((), (), ())
    return reject_batch(numbers, [None] * len(broken), reasons, texts)


def _lines(data: bytes) -> list[bytes]:
    return [line for line in (line.strip(b" \t\r") for line in data.split(b"\n")) if line]


def _members(contract: FileContract) -> dict[str, int]:
    """Which column a member is, by its name and by its name in lower case."""
    headers = [column.header for column in contract.columns]
    return {header.lower(): at for at, header in enumerate(headers)} | {header: at for at, header in enumerate(headers)}
