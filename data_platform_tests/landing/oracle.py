"""A second opinion on reading CSV: plain Python, one character and one value at a time, sharing no code with the
reader. Slow and simple on purpose; the property tests hold the reader to it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from data_platform.feeds.file_contract import FileColumn, FileContract


class Bad(Exception):
    """The value breaks its rule."""


class Swallowed(Exception):
    """A broken record goes on over several lines, which may be records of their own."""


@dataclass
class Record:
    number: int
    fields: list[tuple[str, bool]]
    text: str
    malformed: bool = False


@dataclass
class Reading:
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[int, str | None, str]] = field(default_factory=list)


def read(data: bytes, contract: FileContract, delimiter: str = ",") -> Reading:
    """Reads UTF-8 CSV whose header has the contract's columns in its order. Raises Swallowed."""
    records = split(data.decode("utf-8", "surrogateescape"), delimiter)[1:]
    reading = Reading()
    for number, record in enumerate(records, 1):
        text = "".join(
            f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else "\\x00" if c == "\0" else c
            for c in record.text
        )
        dirty = text != record.text
        if dirty or record.malformed or len(record.fields) != len(contract.columns):
            lines = re.split("[\r\n]+", record.text)
            whole = any(line.count(delimiter) == len(contract.columns) - 1 for line in lines)
            if len(lines) > 1 and (record.malformed or whole):
                raise Swallowed
            reading.rejects.append((number, None, text))
            continue
        lines = re.split("[\r\n]+", record.text)
        likely = sum(_is_record(line, contract, delimiter) for line in lines)
        all_text = all(column.logical.name == "string" for column in contract.columns)
        if len(lines) > 1 and (likely == len(lines) if all_text else likely * 2 > len(lines)):
            raise Swallowed
        row: dict[str, Any] = {}
        first_bad = None
        for column, (value, is_quoted) in zip(contract.columns, record.fields, strict=True):
            try:
                row[column.name] = of(value, is_quoted, column)
            except Bad:
                first_bad = first_bad or column.name
        if first_bad:
            reading.rejects.append((number, first_bad, text))
        else:
            reading.rows.append(row | {"_record_number": number})
    return reading


def _is_record(line: str, contract: FileContract, delimiter: str) -> bool:
    fields = line.split(delimiter)
    if len(fields) == 1 or len(fields) != len(contract.columns):
        return False
    if all(column.logical.name == "string" for column in contract.columns):
        return len(fields) > 2
    found = []
    for value, column in zip(fields, contract.columns, strict=True):
        try:
            if column.logical.name != "string":
                found.append(of(value.strip(' \t\r"'), False, column.model_copy(update={"nullable": True})))
        except Bad:
            return False
    return any(value is not None for value in found)


def split(text: str, delimiter: str) -> list[Record]:
    """The records, the header among them, blank lines left out."""
    records: list[Record] = []
    at = 0
    while at < len(text):
        if text[at] in "\r\n":
            at += 1
            continue
        start, fields, malformed = at, [], False
        while True:
            value, is_quoted, closed = "", False, True
            if text[at : at + 1] == '"':
                is_quoted, closed = True, False
                at += 1
                while at < len(text):
                    if text[at] == '"' and text[at + 1 : at + 2] == '"':
                        value += '"'
                        at += 2
                    elif text[at] == '"':
                        closed = True
                        at += 1
                        break
                    else:
                        value += text[at]
                        at += 1
            if not closed:
                malformed = True
            while at < len(text) and text[at] not in delimiter + "\r\n":
                malformed = malformed or is_quoted
                value += text[at]
                at += 1
            fields.append((value, is_quoted))
            if at < len(text) and text[at] == delimiter:
                at += 1
                continue
            break
        records.append(Record(len(records), fields, text[start:at], malformed))
    return records


def of(value: str, is_quoted: bool, column: FileColumn) -> Any:
    """The value a field means. Raises Bad."""
    kind = column.logical.name
    if kind == "string":
        found: Any = None if (value == "" and not is_quoted) or value in column.null_words else value
    else:
        value = value.strip(" \t")
        found = None if value == "" or value in column.null_words else parse(value, column)
    if found is None and not column.nullable:
        raise Bad
    return found


def parse(value: str, column: FileColumn) -> Any:
    kind, args = column.logical.name, column.logical.args
    if kind.startswith("int"):
        value, mark, zeros = value.partition(column.decimal_mark)
        if not re.fullmatch("[+-]?[0-9]+", value) or (mark and (not zeros or zeros.strip("0") or len(zeros) == 3)):
            raise Bad
        number = int(value)
        if not -(2 ** (int(kind[3:]) - 1)) <= number < 2 ** (int(kind[3:]) - 1):
            raise Bad
        return number
    if kind in ("decimal", "float"):
        if column.decimal_mark == ",":
            if "." in value:
                raise Bad
            value = value.replace(",", ".")
        if kind == "float" and re.fullmatch("[+-]?(nan|inf|infinity)", value, re.I):
            return float(value)
        match = re.fullmatch(r"([+-]?)([0-9]*)\.?([0-9]*)([eE][+-]?[0-9]+)?", value)
        if not match or not (match[2] or match[3]):
            raise Bad
        if kind == "float":
            number = float(value)
            if math.isinf(number):
                raise Bad
            return number
        exponent = int((match[4] or "e0")[1:])
        digits = int(match[2] + match[3])
        if digits and abs(exponent) > 100:
            raise Bad
        exact = Fraction(digits) * (Fraction(10) ** (exponent - len(match[3]) if digits else 0))
        scaled = exact * 10 ** args[1]
        if scaled.denominator != 1 or scaled >= 10 ** args[0]:
            raise Bad
        sign = -1 if match[1] == "-" else 1
        return Decimal(sign * int(scaled)).scaleb(-args[1]) if args[0] < 28 else _scaled(sign * int(scaled), args[1])
    if kind == "boolean":
        for words, meaning in ((column.true_words, True), (column.false_words, False)):
            if value.lower() in [word.lower() for word in words]:
                return meaning
        raise Bad
    if kind == "date":
        return _moment(value, column, r"(\d{4})-(\d\d)-(\d\d)([T ]00:00(:00(\.0{1,9})?)?)?").date()
    if kind == "time":
        if column.formats:
            return _formatted(value, column).time()
        match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", value, re.ASCII)
        if not match:
            raise Bad
        return _time(match[1], match[2], match[3], match[4])
    if kind == "timestamp":
        return _instant(value, column)
    raise NotImplementedError(kind)


def _scaled(number: int, scale: int) -> Decimal:
    sign, digits = (1 if number < 0 else 0), tuple(map(int, str(abs(number))))
    return Decimal((sign, digits, -scale))


def _time(hour: str, minute: str | None, second: str | None, fraction: str | None) -> time:
    micros = (fraction or "").ljust(9, "0")
    if micros[6:] != "000":
        raise Bad
    try:
        return time(int(hour), int(minute or 0), int(second or 0), int(micros[:6]))
    except ValueError:
        raise Bad from None


def _formatted(value: str, column: FileColumn) -> datetime:
    for pattern in column.formats:
        try:
            return datetime.strptime(value, pattern)
        except ValueError:
            pass
    raise Bad


def _moment(value: str, column: FileColumn, pattern: str) -> datetime:
    if column.formats:
        moment = _formatted(value, column)
        if moment.time() != time(0):
            raise Bad
        return moment
    match = re.fullmatch(pattern, value, re.ASCII)
    try:
        if match:
            return datetime(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        pass
    raise Bad


def _instant(value: str, column: FileColumn) -> datetime:
    if column.formats:
        moment = _formatted(value, column)
        offset = moment.utcoffset()
        moment = moment.replace(tzinfo=None)
    else:
        match = re.fullmatch(
            r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
            value,
            re.ASCII,
        )
        if not match:
            raise Bad
        try:
            day = date.fromisoformat(match[1])
        except ValueError:
            raise Bad from None
        moment = datetime.combine(day, _time(match[2] or "0", match[3], match[4], match[5]))
        offset = _offset(match[6])
    try:
        if offset is not None:
            return moment.replace(tzinfo=UTC) - offset
        if column.time_zone is None:
            raise Bad
        return _wall(moment, ZoneInfo(column.time_zone), column.ambiguous)
    except OverflowError:
        raise Bad from None


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text == "Z":
        return timedelta(0)
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise Bad
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)


def _wall(moment: datetime, zone: ZoneInfo, ambiguous: str) -> datetime:
    """Every instant whose wall time is `moment`: none, one or two."""
    found = set()
    for fold in (0, 1):
        instant = moment.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == moment:
            found.add(instant)
    if not found or (len(found) == 2 and ambiguous == "reject"):
        raise Bad
    return max(found) if ambiguous == "latest" else min(found)
