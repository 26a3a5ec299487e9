"""Values that words and encodings spell: booleans, JSON, and bytes in hexadecimal or base64."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from data_platform.feeds.file_contract import FileColumn
from data_platform.values.kernels import Mask, mask, pc
from data_platform.values.rejects import Array
from data_platform.values.rule import BadValue, Rule, shown

DEEPEST = 100
"""The levels of arrays and objects that a JSON value may have. Parsers give up at depths that differ; no data that
people send is near this one."""
_SURROGATE = re.compile(r"\\u[dD]")


def boolean_rule(column: FileColumn) -> Rule:
    words = {word.lower(): False for word in column.false_words} | {w.lower(): True for w in column.true_words}
    expected = ", ".join((*column.true_words, *column.false_words))

    def parse(text: str) -> bool:
        value = words.get(text.lower())
        if value is None:
            raise BadValue(f"{shown(text)} is not a boolean; expected one of {expected}")
        return value

    return parse


def booleans(texts: Array, column: FileColumn) -> tuple[Array, Mask]:
    spelled: dict[str, bool] = {}
    for words, value in ((column.true_words, True), (column.false_words, False)):
        for word in words:
            spelled |= {word: value, word.lower(): value, word.upper(): value}
    which = pc.index_in(texts, value_set=pa.array(list(spelled)))
    array = pc.take(pa.array(list(spelled.values())), which)
    return array, mask(array.is_null()) & mask(texts.is_valid())


def binary_rule(column: FileColumn) -> Rule:
    return _hex if column.binary_encoding == "hex" else _base64


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise BadValue(f"{shown(text)} is not hexadecimal") from None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadValue(f"{shown(text)} is not base64") from None


def json_rule(column: FileColumn) -> Rule:
    return _json


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadValue("an object names a member twice")
    return found


def _not_json(word: str) -> Any:
    raise BadValue(f"{word} is not JSON")


def _json(text: str) -> str:
    parsed_json(text)
    return text


def parsed_json(text: str, number: Callable[[str], Any] = str) -> Any:
    """The JSON value, `number` made of what each number is written as. Raises BadValue, also for an object that
    names a member twice, for text with half a character, and for what is nested so deep that parsers give up."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unrepeated,
            parse_constant=_not_json,
            parse_int=number,
            parse_float=number,
        )
    except RecursionError:
        raise _too_deep(text) from None
    except ValueError as error:
        raise BadValue(f"{shown(text)} is not valid JSON: {error}") from None
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_deep(value, text)
    if _SURROGATE.search(text):
        _refuse_half_characters(value, text)
    return value


def _refuse_deep(value: Any, text: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if any(isinstance(value, dict | list) for value in level):
        raise _too_deep(text)


def _too_deep(text: str) -> BadValue:
    return BadValue(f"{shown(text)} is nested more than {DEEPEST} levels deep")


def _refuse_half_characters(value: Any, text: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise BadValue(f"{shown(text)} holds half a character: {half} without the other half of its pair") from None
