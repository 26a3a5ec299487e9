"""Which patterns are safe to compare with any file name: a partner chooses the name, and Python's regular expressions
can't be interrupted. An accepted pattern takes about half a second at most for a name of the longest length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from math import factorial
from re import _parser as parser  # type: ignore[attr-defined]  # the only parser of Python's expressions
from typing import Any, NamedTuple

LONGEST_NAME = 255
"""Characters. A longer file name matches no pattern."""
MOST_FREE = 3
_MANY = 4
"""A group that is repeated more often counts as repeated without limit."""
_MOST_WAYS = 20_000_000
"""The ways to try before a name is known not to match: about half a second."""
_MARK = re.compile(r"[*+}|]|(?<!\()\?")
_FEW_MARKS = 5
_MAY_BE_SLOW = re.compile(r"\)[*+{]|" + r"(?:[*+}][^*+}]*)" * (MOST_FREE + 1))
"""Few patterns, and those with many marks: so the others needn't be parsed once more."""
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
    if not _MAY_BE_SLOW.search(pattern) and len(_MARK.findall(pattern)) <= _FEW_MARKS:
        return
    ways = _ways(list(parser.parse(pattern)), frozenset(), pattern)
    if ways.free > MOST_FREE:
        raise SlowPattern(
            f"{pattern!r} has {ways.free} repetitions that can also match what follows them, such as `.*` before `_`; a"
            f" file name can make that slow. Leave at most {MOST_FREE}: write `[^_]*` for what goes to the next `_`"
        )
    if ways.choices * LONGEST_NAME**ways.free // factorial(ways.free) > _MOST_WAYS:
        raise SlowPattern(
            f"{pattern!r} can match one file name in too many ways: it has {ways.free} repetitions such as `.*`, and"
            f" {ways.choices:,} ways to take its optional parts and alternatives. Leave out some of either"
        )


class _Ways(NamedTuple):
    """In how many ways some items can match one text. `free`: repetitions that can stop at several places of it.
    `choices`: the ways to take the other parts, multiplied."""

    free: int = 0
    choices: int = 1

    def then(self, other: _Ways) -> _Ways:
        return _Ways(self.free + other.free, self.choices * other.choices)


def _ways(items: Sequence[tuple[Any, Any]], after: frozenset[str], pattern: str) -> _Ways:
    """The ways of these items. `after`: the characters that what follows the items may begin with."""
    found = _Ways()
    for kind, value in reversed(items):
        name = str(kind)
        if name in _REPEATS:
            found = found.then(_of_repetition(value, after, pattern))
        elif name == "SUBPATTERN":
            found = found.then(_ways(list(value[-1]), after, pattern))
        elif name == "BRANCH":
            found = found.then(_of_branches([list(each) for each in value[1]], after, pattern))
        elif name in ("ASSERT", "ASSERT_NOT"):
            found = found.then(_ways(list(value[1]), after, pattern))
        elif name == "ATOMIC_GROUP":
            found = found.then(_ways(list(value), after, pattern))
        begin = _begin([(kind, value)])
        after = begin | after if _may_be_empty(kind, value) else begin
    return found


def _of_repetition(value: Any, after: frozenset[str], pattern: str) -> _Ways:
    low, high, body = value
    begin = _begin(list(body))
    inner = _ways(list(body), after | begin, pattern)
    if high > _MANY and (inner != _Ways() or _varies(body)):
        raise SlowPattern(
            f"{pattern!r} repeats a group that itself has a repetition or a choice; a file name can make that"
            " take hours. Repeat single characters, or a group of fixed length"
        )
    if high > _MANY:
        return _Ways(free=int(low != high and not begin.isdisjoint(after)))
    stops = high - low + 1 if not begin.isdisjoint(after) else 1
    return _Ways(inner.free * high, inner.choices**high * stops)


def _of_branches(branches: list[list[tuple[Any, Any]]], after: frozenset[str], pattern: str) -> _Ways:
    """Of alternatives that begin differently, one is tried."""
    each = [_ways(branch, after, pattern) for branch in branches]
    begins = [_begin(branch) for branch in branches]
    differ = sum(map(len, begins)) == len(frozenset().union(*begins)) and all(begins)
    choices = [ways.choices for ways in each]
    return _Ways(max(ways.free for ways in each), max(choices) if differ else sum(choices))


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
