"""The form of an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.geocode.normal import LONGEST, normalized


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("12 Mill Pond Road", "12 MILL POND ROAD"),
        ("  12\tmill   pond\nroad. ", "12 MILL POND ROAD"),
        ("12 Mill Pond Road ,, Apt. 3;", "12 MILL POND ROAD, APT. 3"),
        ("12½ Hafen Straße", "12½ HAFEN STRASSE"),
        ("9 Cafe\u0301 Row", "9 CAFÉ ROW"),
        (None, ""),
        (" - ,. ", ""),
        ("x" * (LONGEST + 1), ""),
    ],
)
def test_an_address_has_one_form(text: str | None, normal: str) -> None:
    assert normalized(text) == normal


@given(st.text(max_size=LONGEST // 4))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once


@given(st.lists(st.text(st.characters(categories=["Lu", "Nd"], max_codepoint=127), min_size=1), min_size=1), st.data())
def test_blanks_and_case_make_no_other_address(words: list[str], data: st.DataObject) -> None:
    blank = st.sampled_from([" ", "  ", "\t", "\n ", "\r\n"])
    spelled = "".join(word.lower() + data.draw(blank) for word in words)
    assert normalized(spelled) == normalized(" ".join(words)) == " ".join(words)


@given(st.text(max_size=60), st.text(max_size=60))
def test_other_letters_and_digits_make_another_address(one: str, other: str) -> None:
    def told(text: str) -> str:
        return "".join(each for each in normalized(text) if each.isalnum())

    if told(one) != told(other):
        assert normalized(one) != normalized(other)
