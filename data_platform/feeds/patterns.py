"""Which patterns are safe to compare with any file name: a partner chooses the name, and Python's regular expressions
can't be interrupted. The time that an accepted pattern takes never doubles with each further character, and names have
a longest length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from re import _parser as parser  # type: ignore[attr-defined]  # the only parser of Python's expressions
from typing import Any

LONGEST_NAME = 255
"""Characters. A longer file name matches no pattern."""
MOST_FREE = 3
_MANY = 4
"""A group that is repeated more often counts as repeated without limit."""
_MAY_BE_SLOW = re.compile(r"\)[*+{]|" + r"(?:[*+}][^*+}]*)" * (MOST_FREE + 1))
"""Few patterns: so the others needn't be parsed once more."""
_REPETITION = re.compile(r"[*+|]|(?<!\()\?|,\d*\}")
_CHARACTERS = frozenset(map(chr, range(256)))
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}


class SlowPattern(ValueError):
    """A file name can make the pattern slow; the message says why, and what to write instead."""


def has_repetitions(pattern: str) -> bool:
    """Whether the pattern may match a text in several ways. In doubt, it does."""
    return _REPETITION.search(pattern) is not None


def require_fast(pattern: str) -> None:
    """Raises SlowPattern. The pattern must be a valid regular expression."""
    if not _MAY_BE_SLOW.search(pattern):
        return
    free = _free(list(parser.parse(pattern)), frozenset(), pattern)
    if free > MOST_FREE:
        raise SlowPattern(
            f"{pattern!r} has {free} repetitions that can also match what follows them, such as `.*` before `_`; a file"
            f" name can make that slow. Leave at most {MOST_FREE}: write `[^_]*` for what goes to the next `_`"
        )


def _free(items: Sequence[tuple[Any, Any]], after: frozenset[str], pattern: str) -> int:
    """How many repetitions among these items can stop at several places of the same text. `after`: the characters that
    what follows the items may begin with."""
    count = 0
    for kind, value in reversed(items):
        name = str(kind)
        if name in _REPEATS:
            low, high, body = value
            inner = _free(list(body), after | _begin(list(body)), pattern)
            if high > _MANY and (inner or _varies(body)):
                raise SlowPattern(
                    f"{pattern!r} repeats a group that itself has a repetition or a choice; a file name can make that"
                    " take hours. Repeat single characters, or a group of fixed length"
                )
            own = low != high and high > _MANY and not _begin(list(body)).isdisjoint(after)
            count += inner * min(high, _MANY) + own
        elif name == "SUBPATTERN":
            count += _free(list(value[-1]), after, pattern)
        elif name == "BRANCH":
            count += max(_free(list(each), after, pattern) for each in value[1])
        elif name in ("ASSERT", "ASSERT_NOT"):
            count += _free(list(value[1]), after, pattern)
        elif name == "ATOMIC_GROUP":
            count += _free(list(value), after, pattern)
        begin = _begin([(kind, value)])
        after = begin | after if _may_be_empty(kind, value) else begin
    return count


def _varies(items: Any) -> bool:
    """Whether the items match texts of several lengths, or one text in several ways."""
    low, high = items.getwidth()
    return bool(low != high) or any(
        str(kind) == "BRANCH" or (str(kind) == "SUBPATTERN" and _varies(value[-1])) for kind, value in items
    )


def _may_be_empty(kind: Any, value: Any) -> bool:
    name = str(kind)
    if name in _REPEATS:
        return bool(value[0] == 0 or value[2].getwidth()[0] == 0)
    if name == "SUBPATTERN":
        return bool(value[-1].getwidth()[0] == 0)
    if name == "BRANCH":
        return any(each.getwidth()[0] == 0 for each in value[1])
    if name == "ATOMIC_GROUP":
        return bool(value.getwidth()[0] == 0)
    return name in ("AT", "ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS")


def _begin(items: Sequence[tuple[Any, Any]]) -> frozenset[str]:
    """The characters that a text which the items match may begin with."""
    found: frozenset[str] = frozenset()
    for kind, value in items:
        found |= _begin_of_one(str(kind), value)
        if not _may_be_empty(kind, value):
            break
    return found


def _begin_of_one(name: str, value: Any) -> frozenset[str]:
    if name == "LITERAL":
        return frozenset(chr(value))
    if name == "NOT_LITERAL":
        return _CHARACTERS - {chr(value)}
    if name == "IN":
        return _set(tuple(value))
    if name in _REPEATS:
        return _begin(list(value[2]))
    if name == "SUBPATTERN":
        return _begin(list(value[-1]))
    if name == "BRANCH":
        return frozenset[str]().union(*(_begin(list(each)) for each in value[1]))
    if name == "ATOMIC_GROUP":
        return _begin(list(value))
    return frozenset() if name in ("AT", "ASSERT", "ASSERT_NOT") else _CHARACTERS  # of ANY and back references, any


@cache
def _set(members: tuple[tuple[Any, Any], ...]) -> frozenset[str]:
    """The characters of `[...]`."""
    found: frozenset[str] = frozenset()
    for kind, value in members:
        if str(kind) == "LITERAL":
            found |= {chr(value)}
        elif str(kind) == "RANGE":
            found |= frozenset(each for each in _CHARACTERS if value[0] <= ord(each) <= value[1])
        elif str(kind) == "CATEGORY":
            words = str(value).split("_")  # CATEGORY_NOT_DIGIT
            one = re.compile(_CATEGORIES[words[-1]])
            found |= frozenset(each for each in _CHARACTERS if bool(one.match(each)) != ("NOT" in words))
    return _CHARACTERS - found if members and str(members[0][0]) == "NEGATE" else found
