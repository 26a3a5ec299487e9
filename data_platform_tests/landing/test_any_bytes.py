"""Whatever bytes come as a file, in any format, the file is read or refused: no other error, which could fail a run.

A seeded sample. What a longer search found is in tests of its own kind: `test_workbooks.py`, `test_read_formats.py`.
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zipfile import ZipFile

import pyarrow as pa
import pytest
import shapely

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import LandingError
from data_platform.landing.read import DeliveryReader
from data_platform_tests.landing.test_read_formats import parquet, workbook
from data_platform_tests.landing.workbooks import ods, ods_row, xls, xlsb, zipped

TYPES = {
    "s": "string", "i": "int32", "d": "decimal(12,3)", "f": "float", "b": "boolean", "day": "date", "at": "timestamp",
    "t": "time", "j": "json", "x": "binary", "g": "geometry(4326)",
}  # fmt: skip
COLUMNS = [
    {"name": name, "type": type} | ({"time_zone": "America/New_York"} if type == "timestamp" else {})
    for name, type in TYPES.items()
]
TEXTS = ["é\"", "-1", "0.001", "1.5", "true", "1900-01-01", "2026-11-01 01:30:00", "23:59:59", '[1,{"a":2}]', "00ff",
         "POLYGON((0 0,1 0,1 1,0 0))"]  # fmt: skip
TYPED: list[Any] = [
    *("a", -1, Decimal("0.001"), 1.5, True, date(2026, 3, 1), datetime(2026, 3, 1, 12), time(1, 2), {"a": [1.5, None]}),
    *(b"\0\xff", shapely.to_wkb(shapely.Point(1, 2))),
]
_CSV = "\n".join([",".join(TYPES), *[",".join('"' + text.replace('"', '""') + '"' for text in TEXTS)] * 4]).encode()
_CELLS = [(row, at, text) for row, texts in enumerate([list(TYPES), ["a", "1"]]) for at, text in enumerate(texts)]
FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "csv": (_CSV, {}),
    "csv utf-16": (_CSV.decode().encode("utf-16"), {"format": {"type": "csv", "encoding": "utf-16"}}),
    "csv utf-7": (_CSV, {"format": {"type": "csv", "encoding": "utf-7", "quote": "none"}}),
    "csv gzip": (gzip.compress(_CSV), {"compression": "gzip"}),
    "csv zip": (zipped({"a.csv": _CSV}), {"compression": "zip"}),
    "json": (
        b"\n".join([json.dumps(dict(zip(TYPES, TEXTS, strict=True))).encode()] * 4),
        {"format": {"type": "json_lines"}},
    ),
    "parquet": (
        parquet(**{name: pa.array([value] * 4) for name, value in zip(TYPES, TYPED, strict=True)}),
        {"format": {"type": "parquet"}},
    ),
    "xlsx": (workbook([list(TYPES), *[TYPED[:8]] * 4]), {"format": {"type": "excel"}}),
    "xlsb": (xlsb(_CELLS), {"format": {"type": "excel"}}),
    "xls": (xls(_CELLS), {"format": {"type": "excel"}}),
    "ods": (ods(ods_row(*TYPES), ods_row(*TEXTS[:8], 1.5)), {"format": {"type": "excel"}}),
}
_TOKENS = [b'"', b"\n", b"\r", b"\0", b"\xff", b",", b"{", b"]", b"1e999999999", b"NaN", b"\\ud800", b"9" * 30, b"<",
           b"0001-01-01T00:00-23:00", b"9999-12-31", b"\xed\xa0\x80", b"POINT EMPTY", b"1048577", b"+3H0-"]  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some of them changed, taken out, or put in."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, way = chance.randrange(len(found) + 1), chance.random()
        if way < 0.4 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif way < 0.55:
            del found[at : at + chance.choice([1, 8, 100])]
        elif way < 0.95:
            found[at : at + chance.choice([0, 1, 4])] = chance.choice(_TOKENS)
        else:
            del found[at:]
    return bytes(found)


def damaged_within(data: bytes, chance: random.Random) -> bytes:
    """A zip file, one of whose members is damaged."""
    with ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(parts))
    return zipped({**parts, name: damaged(parts[name], chance)})


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    data, rules = FILES[name]
    chance = random.Random(name)
    ways: list[Callable[[bytes, random.Random], bytes]] = [damaged]
    if data.startswith(b"PK"):
        ways.append(damaged_within)
    elif name == "csv gzip":
        ways.append(lambda data, chance: gzip.compress(damaged(gzip.decompress(data), chance), 1))
    for number in range(41):
        for drift in ("ignore", "evolve") if number == 0 else (chance.choice(["ignore", "evolve", "reject"]),):
            content = ways[number % len(ways)](data, chance) if number else data
            contract = {"columns": COLUMNS, "drift": drift}
            spec = {"source": "p", "table": "f", "pattern": ".*", "contract": contract, **rules}
            try:
                reader = DeliveryReader(io.BytesIO(content), FileFeedSpec.of(spec), file_name="file")
                for chunk in reader:
                    chunk.batch.validate(full=True)
                    chunk.rejects.validate(full=True)
            except LandingError:
                assert number, f"{name} can't be read undamaged"
