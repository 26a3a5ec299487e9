"""What a partner's manifest states of a file, held against what was found. When a feed needs one: `inbox.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_EXPECTED = {
    "file": "the name of the file",
    "rows": "a whole number",
    "bytes": "a whole number",
    "sha256": "64 hexadecimal digits",
}
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_EXAMPLE = 'expected for example {"rows": 1200, "sha256": "…"}; send the file and a correct manifest again'


def disagreement(manifest: bytes, name: str, found: Mapping[str, object]) -> str | None:
    """How a file differs from its manifest, or None. `found`: its `file` (name), `rows`, `bytes` and `sha256`.

    A manifest with a member that isn't checked, or with none, is refused: the partner believes it was checked."""
    try:
        stated = json.loads(manifest, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        return f"the manifest {name} is not a JSON object whose members each come once; {_EXAMPLE}"
    if not stated:
        return f"the manifest {name} states nothing; {_EXAMPLE}"
    wrong = [fault for member, value in stated.items() if (fault := _fault(member, value))]
    if wrong:
        return f"the manifest {name} can't be checked: {'; '.join(wrong[:5])}; {_EXAMPLE}"
    wrong = [
        f"{member} {_written(value)}, found {_written(found[member])}"
        for member, value in stated.items()
        if (value.lower() if member == "sha256" else value) != found[member]
    ]
    return f"the manifest states {'; '.join(wrong)}; send the file again" if wrong else None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _fault(member: str, value: Any) -> str | None:
    if member not in _EXPECTED:
        return f"it has a member {member[:100]!r}, which is none of {', '.join(_EXPECTED)}"
    if member in ("file", "sha256"):
        right = isinstance(value, str) and (member == "file" or _HEX.fullmatch(value))
    else:
        right = type(value) is int
    return None if right else f"its {member} is {_written(value)}, not {_EXPECTED[member]}"


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 100 else f"{text[:100]}…"
