"""Whatever a partner calls a file or writes in one, people see it as it is, and nothing around it changes."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.lake.shown import as_markdown, visible


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"], include_characters=" ")))
def test_what_can_be_seen_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert re.sub(r"\\(.)", r"\1", as_markdown(text)) == text


@given(st.text())
def test_nothing_that_is_shown_moves_the_cursor_or_ends_the_line(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f\x9b\u202e\u2066\ud800]", shown)
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J.csv", "a\\x1b[2J.csv"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202efdp.csv", "\\u202efdp.csv"),
        ("\udc80", "\\udc80"),
        ("\x00", "\\x00"),
        ("日本 é 😀.csv", "日本 é 😀.csv"),
    ],
)
def test_what_cant_be_seen_is_written_as_in_python(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert ast.literal_eval(f'"{shown}"') == text


def test_markdown_shows_no_image_link_or_cell_of_a_value() -> None:
    assert as_markdown("![x](http://a)|<b>\n`") == "\\!\\[x\\](http://a)\\|\\<b\\>\\\\n\\`"
