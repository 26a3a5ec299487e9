"""What a delivery is, and the outcomes it can have. Plain data; no I/O.

A delivery is one version of one file that a partner dropped, identified by (key, version id, etag).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["loaded", "duplicate", "superseded", "quarantined"]


class LandingError(Exception):
    """A delivery can't be accepted; the message names feed, file, what was expected and what to do."""


class DeliveryUnreadable(LandingError):
    """The bytes are not what the feed's format, encoding or compression says."""


class ContractViolation(LandingError):
    """The file can be read, but its header, or too many of its rows, break the contract."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One version of one file in a partner's inbound prefix. `size` is bytes as delivered."""

    key: str
    version_id: str
    etag: str
    size: int
    landed_at: datetime

    @property
    def id(self) -> str:
        """32 hex digits, the same for the same version of the same file."""
        return hashlib.sha256("\0".join((self.key, self.version_id, self.etag)).encode()).hexdigest()[:32]

    @property
    def partner(self) -> str:
        """From the key `inbound/<partner>/<file>`."""
        return self.key.split("/")[1]

    @property
    def file_name(self) -> str:
        """What the partner called it, below its inbound folder."""
        return self.key.split("/", 2)[2]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to a delivery and to every row of it: rows_read = rows_loaded + rows_rejected for `loaded`;
    a quarantined delivery loads nothing."""

    delivery_id: str
    partner: str
    feed: str | None
    file_name: str
    object_key: str
    version_id: str
    etag: str
    size_bytes: int
    content_sha256: str | None
    landed_at: datetime
    partition: str | None
    status: Outcome
    reason: str | None
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    extract_id: str | None
    run_id: str | None
    settled_at: datetime

    def to_json(self) -> str:
        """The receipt as a JSON object with ISO 8601 times."""
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), indent=1)
