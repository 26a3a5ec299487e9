"""PostgreSQL's binary format, as a server sends it row by row: cut into pages, and its numerics decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal
from random import Random
from typing import Any

import pytest

from data_platform.extract.sql.postgres import copying, numeric
from data_platform.extract.sql.postgres.copying import Copy, fields
from data_platform_tests.extract.sql.tables import table_feed

HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
EXACT = Context(prec=80)


class Answering:
    """A connection that answers a COPY with these rows, each of one value or null, as psycopg2 hands them over."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        rows = [struct.pack(">hi", 1, -1 if value is None else len(value)) + (value or b"") for value in values]
        first, *further = [*rows, TRAILER]
        self.messages = [HEADER + first, *further]

    @contextmanager
    def cursor(self) -> Iterator[Answering]:
        yield self

    def copy_expert(self, statement: str, file: Any) -> None:
        for message in self.messages:
            file.write(message)


def as_numeric(value: Decimal) -> bytes:
    """A number as PostgreSQL sends it: digits to the base 10,000, without zeros at either end."""
    negative, _, exponent = value.as_tuple()
    shown = -int(exponent)
    places = -(-shown // 4)
    units = int(value.copy_abs().scaleb(4 * places, EXACT))
    digits: list[int] = []
    while units:
        units, digit = divmod(units, 10_000)
        digits.insert(0, digit)
    weight = len(digits) - places - 1 if digits else 0
    while digits and digits[-1] == 0:
        digits.pop()
    sign = 0x4000 if negative and digits else 0
    return struct.pack(f">HhHH{len(digits)}h", len(digits), weight, sign, shown, *digits)


@pytest.mark.parametrize("rows", range(8))
def test_each_row_is_in_one_page(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(copying, "ROWS_A_PAGE", 3)
    with Copy(Answering([struct.pack(">i", row) for row in range(rows)]), "SELECT", 1) as copy:  # type: ignore[arg-type]
        pages = [field.read(">i4").tolist() for page in copy.pages() for field in fields(page, 1)]
    assert pages == [list(range(begin, min(begin + 3, rows))) for begin in range(0, rows, 3)]


@pytest.mark.parametrize(
    "shape", [(4, 4), (9, 2), (14, 2), (16, 0), (18, 6), (19, 1), (20, 6), (38, 0), (38, 18), (38, 30)]
)
def test_a_number_with_any_count_of_digits_is_decoded_exactly_or_goes_by_its_text(shape: tuple[int, int]) -> None:
    precision, scale = shape
    chosen = Random(7)

    def number() -> Decimal:
        units = min(chosen.choice([chosen.randrange(10 ** chosen.randint(0, precision)), 10**scale]), 10**precision - 1)
        return Decimal(chosen.choice([1, -1]) * units).scaleb(-scale, EXACT)

    numbers = [None if chosen.random() < 0.1 else number() for _ in range(2_000)]
    sent = [None if each is None else as_numeric(each) for each in numbers]
    with Copy(Answering(sent), "SELECT", 1) as copy:  # type: ignore[arg-type]
        (page,) = copy.pages()
    (field,) = fields(page, 1)
    (column,) = table_feed({"n": f"decimal({precision},{scale})"}).contract.columns
    array, suspects = numeric.decimals(column)(field)
    array.validate(full=True)
    texts = [numeric.spell_numeric(field.value(row) or b"") if suspects[row] else None for row in range(len(numbers))]
    found = [value if text is None else Decimal(text) for value, text in zip(array.to_pylist(), texts, strict=True)]
    assert found == numbers
    assert suspects.any() == (precision - scale > 16 or scale > 18)


def test_a_number_with_too_many_digits_is_a_suspect() -> None:
    (column,) = table_feed({"n": "decimal(9,2)"}).contract.columns
    sent = [as_numeric(Decimal(text)) for text in ("9999999.99", "10000000.00", "-10000000.00", "0.001")]
    with Copy(Answering(sent), "SELECT", 1) as copy:  # type: ignore[arg-type]
        (page,) = copy.pages()
    (field,) = fields(page, 1)
    assert numeric.decimals(column)(field)[1].tolist() == [False, True, True, True]
