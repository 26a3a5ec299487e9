"""What a partner gets and keeps once a delivery's outcome is committed: its receipt, and its file in the archive.

Every step can be repeated. The order makes a kill harmless: as long as the file is in inbound, the next tick takes it
up again, and the ledger row, committed with the rows, says that only the rest is left to do.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from data_platform.extract.source import OPERATOR
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.delivery import Delivery
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.receipts import folder_of, receipt_json, rejects_csv

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake
    from data_platform.lake.manifest import Manifest

_KEY_BYTES = 1_024
"""The longest key that S3 takes, in UTF-8 (docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html)."""
_NAME_BYTES = 255
"""The longest name of a file on most file systems: a partner fetches its receipts."""


def archive(
    receipt: DeliveryRow,
    bucket: LandingBucket,
    lake: Lake,
    time_zone: str,
    *,
    manifest: Manifest | None = None,
    companion: Delivery | None = None,
) -> list[Delivery]:
    """Writes the receipts, and copies the file (and its manifest or trigger) to the archive, or to quarantine, where
    the receipt gives the reason. `manifest`: of the delivery's extract. Returns the versions to delete now; of the
    companion, the version that was read and those before it: a newer one belongs to a newer file."""
    write_receipts(receipt, bucket, lake, time_zone, manifest)
    settled = [_delivery(receipt)]
    bucket.copy(settled[0], settled_key(receipt))
    if companion is not None:
        for version in (*bucket.older_versions(companion), companion):
            bucket.copy(version, companion_key(receipt, companion))
            settled.append(version)
    return settled


def companion_key(receipt: DeliveryRow, companion: Delivery) -> str:
    """Where the manifest or trigger of a settled delivery is kept: beside its file."""
    folder = settled_key(receipt).rsplit("/", 1)[0]
    return _key(f"{folder}/", companion.key.rsplit("/", 1)[-1])


def write_receipts(
    receipt: DeliveryRow, bucket: LandingBucket, lake: Lake, time_zone: str, manifest: Manifest | None = None
) -> None:
    """Writes the receipt to the lake and, without what only the operator can do, to the partner's receipts, over an
    earlier one of the same delivery. `manifest`: of its extract, whose rejects are written to the partner's receipts
    too. Times are also given in the partner's zone."""
    folder = folder_of(receipt.partner, receipt.landed_at)
    file = _receipt_key(receipt, ".rejects.csv")
    rejects = lake.read_rejects(manifest) if manifest is not None else None
    if rejects is not None:  # first, as the receipt names the file
        bucket.put(file, rejects_csv(rejects))
    named = file if rejects is not None or (receipt.rows_rejected and bucket.exists(file)) else None
    lake.store.put(f"{folder}{receipt.delivery_id}.json", receipt_json(receipt, time_zone, named))
    told = replace(receipt, reason=receipt.reason and receipt.reason.rsplit(OPERATOR, 1)[0])
    bucket.put(_receipt_key(receipt, ".json"), receipt_json(told, time_zone, named))


def settled_key(receipt: DeliveryRow) -> str:
    """Where a settled delivery's file is kept."""
    room = "quarantine" if receipt.status == "quarantined" else "archive"
    return _key(f"{room}/{receipt.partner}/{receipt.feed}/{receipt.delivery_id}/", receipt.file_name)


def report_unmatched(bucket: LandingBucket, pending: Pending, reason: str) -> bool:
    """Tells the partner once, in its receipts, that no feed takes a file; the file stays where it is. Returns whether
    this was the first time (False too for a file outside every partner's folder)."""
    if pending.key.count("/") < 2:
        return False
    upload = pending.etag.strip(chr(34))[:8]
    folder = folder_of(pending.partner, pending.modified)
    receipt_key = _key(folder, pending.file_name, f".{upload}.unmatched.json")
    if bucket.exists(receipt_key):
        return False
    bucket.put(receipt_key, _unmatched(pending.file_name, reason))
    return True


def _unmatched(file_name: str, reason: str) -> bytes:
    what_to_do = "Rename the file to match a feed's pattern, or remove it."
    return json.dumps(
        {"file_name": file_name, "status": "unmatched", "reason": reason, "what_to_do": what_to_do}, indent=1
    ).encode()


def _receipt_key(receipt: DeliveryRow, ending: str) -> str:
    folder = folder_of(receipt.partner, receipt.landed_at)
    return _key(folder, receipt.file_name, f".{receipt.delivery_id[:8]}{ending}")


def _delivery(receipt: DeliveryRow) -> Delivery:
    return Delivery(receipt.object_key, receipt.version_id, receipt.etag, receipt.size_bytes, receipt.landed_at)


def _key(folder: str, file_name: str, ending: str = "") -> str:
    """The key of a file in a folder, or of its receipt, which has an `ending`. A partner's name may be as long as a key
    of inbound can be; where another folder's, or a receipt's name, leaves it no room, its middle is cut out."""
    room = _KEY_BYTES - len(f"{folder}{ending}".encode())
    if ending:
        room = min(room, _NAME_BYTES - len(ending))
    name = file_name.encode()
    if len(name) <= room:
        return f"{folder}{file_name}{ending}"
    start, end = name[: room - 48].decode(errors="ignore"), name[-32:].decode(errors="ignore")
    return f"{folder}{start}~{sha256(name).hexdigest()[:8]}{end}{ending}"
