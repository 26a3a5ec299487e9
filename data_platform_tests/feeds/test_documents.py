"""YAML is parsed as PyYAML's safe_load does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data_platform.feeds.documents import DefinitionInvalid, Document, parse

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates()


@pytest.mark.parametrize(
    "text",
    [
        "pattern: 'a{2}'\nday: 2026-01-01\nat: 2026-01-01T10:00:00\nlimit: 0.05\nwords: [yes, '01', 01, null]\n",
        "base: &base {a: 1}\nother: {<<: *base, b: 2}",
        "1: a",
        "a: .nan",
        "a: !!binary YQ==",
        "a: !!set {b}",
        "",
    ],
)
def test_a_document_is_what_safe_load_makes_of_it(text: str) -> None:
    assert repr(parse(text)) == repr(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text", ["a: [", "a: 1\na: 2", "{a: 1, a: 1}", "a: 1\n---\nb: 2", "a: !!python/object:os.system {}"]
)
def test_a_text_that_is_not_one_safe_document_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse(text)


@given(st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_every_plain_value_comes_back_as_it_was(value: object) -> None:
    text = yaml.safe_dump(value)
    assert parse(text) == yaml.safe_load(text)


def test_a_key_that_comes_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text("type: x.Y\nattributes:\n  pattern: a\n  reject_limit: {}\n  pattern: b\n")
    with pytest.raises(DefinitionInvalid) as refused:
        Document.read(file)
    told = "not YAML: the key 'pattern' comes twice; the other one is in line 3"
    assert str(refused.value) == f"{file}:5:3: {told}\n      pattern: b\n      ^"
