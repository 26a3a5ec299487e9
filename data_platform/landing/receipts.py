"""What receipts say, where they lie, and how old ones are deleted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import obstore

from data_platform.landing.outcomes import DeliveryRow

if TYPE_CHECKING:
    import pyarrow as pa
    from obstore.store import ObjectStore

ROOT = "receipts/"
_REJECTS = {"record_number": "record", "column_name": "column", "reason": "reason"}
"""The columns of a partner's rejects file. Reasons quote no personal values; the raw text would."""


def receipt_json(receipt: DeliveryRow, time_zone: str, rejects_key: str | None) -> bytes:
    """A receipt: a JSON object with ISO 8601 times, those `_local` in the partner's zone. `rejects_file`: where the
    partner finds the file with this key."""
    zone = ZoneInfo(time_zone)
    times = {name: getattr(receipt, name).astimezone(zone) for name in ("landed_at", "settled_at")}
    more = {"rejects_file": rejects_key and f"/{rejects_key.replace(f'{receipt.partner}/', '', 1)}"}
    more |= {f"{name}_local": time.isoformat(timespec="seconds") for name, time in times.items()}
    return json.dumps(asdict(receipt) | more, default=lambda value: value.isoformat(), indent=1).encode()


def rejects_csv(rejects: pa.Table) -> bytes:
    """A delivery's rejects (REJECTS_SCHEMA) as the partner gets them: CSV with the columns record, column, reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_REJECTS.values())
    for batch in rejects.select(list(_REJECTS)).to_batches():
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return text.getvalue().encode()


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
