"""Parsed YAML that is kept is what parsing would give, whatever has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data_platform.components import documents
from data_platform.components.documents import cached_in, parse

FEED = "pattern: 'a{2}'\nday: 2026-01-01\nat: 2026-01-01T10:00:00\nlimit: 0.05\nwords: [yes, '01', 01, null]\n"
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "state" / "yaml.json"


def read(cache: Path, text: str) -> object:
    with cached_in(cache):
        return parse(text)


def test_a_kept_document_is_the_parsed_one(cache: Path) -> None:
    assert read(cache, FEED) == read(cache, FEED) == yaml.safe_load(FEED)


def test_it_is_not_parsed_a_second_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(cache, FEED)
    monkeypatch.setattr(documents, "_parse", lambda text: pytest.fail("parsed again"))
    assert read(cache, FEED) == yaml.safe_load(FEED)


def test_any_change_of_the_text_is_seen(cache: Path) -> None:
    read(cache, FEED)
    assert read(cache, FEED.replace("0.05", "0.06")) == yaml.safe_load(FEED) | {"limit": 0.06}


def test_what_is_no_longer_read_is_forgotten(cache: Path) -> None:
    read(cache, FEED)
    read(cache, "a: 1")
    assert "pattern" not in cache.read_text()


@pytest.mark.parametrize("text", ["", "{", '{"version": "0", "documents": {}}', "[]", '{"version": "1"}'])
def test_a_file_that_is_no_cache_is_replaced(cache: Path, text: str) -> None:
    cache.parent.mkdir()
    cache.write_text(text)
    assert read(cache, FEED) == yaml.safe_load(FEED)
    assert "pattern" in cache.read_text()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read(tmp_path / "file" / "yaml.json", FEED) == yaml.safe_load(FEED)


def test_a_document_that_json_would_change_is_parsed_each_time(cache: Path) -> None:
    for text in ("1: a", "a: .nan", "a: !!binary YQ==", "a: !!set {b}"):
        assert repr(read(cache, text)) == repr(read(cache, text)) == repr(yaml.safe_load(text))


@given(st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_every_plain_value_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    cache = tmp_path_factory.mktemp("any") / "yaml.json"
    text = yaml.safe_dump(value)
    assert read(cache, text) == read(cache, text) == yaml.safe_load(text)
