"""A partner's manifest: each of its members is checked, or the manifest is refused with the member's name."""

from __future__ import annotations

import json

import pytest

from data_platform.landing.stated import disagreement

SHA = "ab" * 32
FOUND = {"file": "a.csv", "rows": 3, "bytes": 40, "sha256": SHA}


@pytest.mark.parametrize(
    "members", [{"rows": 3}, {"file": "a.csv"}, {"bytes": 40}, {"sha256": SHA.upper()}, dict(FOUND)]
)
def test_a_manifest_that_agrees_is_no_problem(members: dict[str, object]) -> None:
    assert disagreement(json.dumps(members).encode(), "m.json", FOUND) is None
    assert disagreement(json.dumps(members).encode("utf-16"), "m.json", FOUND) is None


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b'{"rows": 4, "bytes": 40}', "the manifest states rows 4, found 3; send the file again"),
        (b'{"rows": 3, "lines": 3}', "it has a member 'lines', which is none of file, rows, bytes, sha256"),
        (b'{"file": "b.csv"}', 'states file "b.csv", found "a.csv"'),
        (b'{"file": "\\ud83d"}', 'states file "\\ud83d", found'),
        (b'{"\\ud83d": 1}', "it has a member '\\ud83d', which is none of"),
        (b'{"rows": "3"}', 'its rows is "3", not a whole number'),
        (b'{"rows": true}', "its rows is true, not a whole number"),
        (b'{"bytes": 40.0}', "its bytes is 40.0, not a whole number"),
        (b'{"rows": null}', "its rows is null, not a whole number"),
        (b'{"sha256": "ab"}', 'its sha256 is "ab", not 64 hexadecimal digits'),
        (b'{"rows": 3, "rows": 4}', "whose members each come once"),
        (b"{}", "states nothing"),
        (b"[3]", "is not a JSON object"),
        (b"\xff", "is not a JSON object"),
        (b"[" * 100_000, "is not a JSON object"),
    ],
)
def test_a_manifest_that_cant_be_checked_or_disagrees_is_told_with_the_member(manifest: bytes, reason: str) -> None:
    found = disagreement(manifest, "m.json", FOUND)
    assert found is not None
    assert reason in found
    found.encode()
