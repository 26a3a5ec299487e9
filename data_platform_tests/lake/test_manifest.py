from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.lake.manifest import ColumnEntry, ExtractKey, FileEntry, Manifest, ManifestError

_text = st.text(min_size=1, max_size=20)
_count = st.integers(min_value=0, max_value=2**63 - 1)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_instant = st.datetimes(timezones=st.just(UTC))
_files = st.builds(FileEntry, path=_text, rows=_count, bytes=_count, sha256=_text)
manifests = st.builds(
    Manifest,
    extract_id=_text,
    source=_text,
    table=_text,
    partition=st.none() | _text,
    contract_hash=_text,
    columns=st.lists(st.builds(ColumnEntry, name=_text, type=_text), max_size=3).map(tuple),
    files=st.lists(_files, max_size=3).map(tuple),
    rows=_count,
    rejects=_count,
    rejects_file=st.none() | _files,
    position_from=_json,
    position_to=_json,
    started_at=_instant,
    committed_at=_instant,
    run_id=st.none() | _text,
    origin=st.dictionaries(_text, _json, max_size=3),
    version=st.just(1),
)


@given(manifests)
def test_a_manifest_comes_back_from_json_as_it_was(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "not json"])
def test_what_is_no_manifest_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ManifestError, match="not a manifest"):
        Manifest.from_json(text)


def test_a_manifest_of_a_later_release_is_refused_with_what_to_do() -> None:
    instant = datetime(2026, 3, 8, tzinfo=UTC)
    manifest = Manifest("e", "s", "t", None, "h", (), (), 0, 0, None, None, None, instant, instant, None)
    later = json.loads(manifest.to_json()) | {"version": 2}
    with pytest.raises(ManifestError, match="deploy the release that wrote it"):
        Manifest.from_json(json.dumps(later))


def test_an_extract_without_partition_is_kept_under_all() -> None:
    assert ExtractKey("city", "permits", "e1").prefix == "extracts/city/permits/all/e1/"
    assert ExtractKey("city", "permits", "e1", "2026-03-08").prefix == "extracts/city/permits/2026-03-08/e1/"


@pytest.mark.parametrize("parts", [("", "t", "e"), ("s", "a/b", "e"), ("s", "t", "../e")])
def test_a_name_that_would_leave_its_folder_is_refused(parts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="object key"):
        ExtractKey(*parts)
