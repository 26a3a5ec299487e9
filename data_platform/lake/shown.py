"""Texts of others (names of files, values, reasons that quote them) as people are shown them: as they are, but unable
to change how a terminal, a log or a page shows what is around them."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that move a terminal's cursor, end a line, turn the direction of text, aren't seen, or are half of one."""
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#!&$])")


def visible(text: str) -> str:
    r"""The text in one line, with what can't be seen written as in Python: `a\x1b[2Jb`, `a\nb`, `\u202efdp.csv`."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text) if not text.isprintable() else text


def as_markdown(text: str) -> str:
    """The text as Markdown that shows it as it is, in a table too."""
    return _MARKDOWN.sub(r"\\\1", visible(text))
