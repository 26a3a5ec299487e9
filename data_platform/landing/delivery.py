"""A delivery, and the errors of one that can't be accepted. Plain data; no I/O. Outcomes: `outcomes.py`.

A delivery is one version of one file that a partner dropped, identified by (key, version id, etag).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from data_platform.extract.source import SliceGone


class LandingError(Exception):
    """A delivery can't be accepted; the message names feed, file, what was expected and what to do."""


class DeliveryGone(SliceGone):
    """That version is no longer in inbound: another run has settled it."""


class DeliveryUnreadable(LandingError):
    """The bytes don't match the feed's format, encoding or compression."""


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
