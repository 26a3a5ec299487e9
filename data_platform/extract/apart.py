"""Loads extracts apart where one of them holds a value that Snowflake refuses, so that the others are loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data_platform.lake.manifest import Manifest
from data_platform.warehouse.refused_data import refuses_data

Load = Callable[[Sequence[Manifest]], None]


def load_apart(
    manifests: Sequence[Manifest], load: Load, refuse: Callable[[Sequence[Manifest], Exception], None]
) -> None:
    """Calls `load` with all of them, and if Snowflake refuses a value, with either half, and so on, in their order.
    `refuse` gets the extract that is refused alone, or the parts of one snapshot, with the error. Any other error is
    raised: an outage is no extract's fault."""
    together: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        together.setdefault(manifest.snapshot_id or manifest.extract_id, []).append(manifest)
    _load_apart(list(together.values()), load, refuse)


def _load_apart(
    units: Sequence[Sequence[Manifest]], load: Load, refuse: Callable[[Sequence[Manifest], Exception], None]
) -> None:
    try:
        load([manifest for unit in units for manifest in unit])
        return
    except Exception as error:
        if not refuses_data(error):
            raise
        refusal = error
    if len(units) == 1:
        refuse(units[0], refusal)
        return
    half = len(units) // 2
    _load_apart(units[:half], load, refuse)
    _load_apart(units[half:], load, refuse)
