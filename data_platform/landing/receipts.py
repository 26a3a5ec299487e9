"""Where receipts lie, and how old ones are deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import obstore

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ROOT = "receipts/"


def folder_of(partner: str, landed_at: datetime) -> str:
    """The folder of the month (UTC) in which a file landed, so that none grows without end."""
    return f"{ROOT}{partner}/{landed_at.astimezone(UTC):%Y-%m}/"


def delete_before(store: ObjectStore, moment: datetime) -> int:
    """Deletes the receipts of the months that had ended by then and, of an earlier release's that lie in no month,
    those written before. Returns their number. Lists partners and months, and only what it deletes."""
    deleted = 0
    for partner in _folders(store, ROOT):
        for month in _folders(store, partner):
            if month.removeprefix(partner).strip("/") < f"{moment.astimezone(UTC):%Y-%m}":
                pages = obstore.list(store, month)
                deleted += sum(_delete(store, (str(item["path"]) for item in page)) for page in pages)
        loose = obstore.list_with_delimiter(store, partner)["objects"]
        deleted += _delete(store, [str(item["path"]) for item in loose if item["last_modified"] < moment])
    return deleted


def _folders(store: ObjectStore, prefix: str) -> list[str]:
    found = obstore.list_with_delimiter(store, prefix)["common_prefixes"]
    return [f"{str(path).rstrip('/')}/" for path in found]


def _delete(store: ObjectStore, paths: Iterable[str]) -> int:
    listed = list(paths)
    if listed:
        obstore.delete(store, listed)
    return len(listed)
