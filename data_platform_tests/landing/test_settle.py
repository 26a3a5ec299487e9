"""Where settled files and receipts are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.settle import report_unmatched

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)


class Written:
    """Stands for a bucket that takes what S3 takes."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def exists(self, key: str) -> bool:
        return key in self.keys

    def put(self, key: str, body: bytes) -> None:
        assert len(key.encode()) <= 1024, "S3 refuses it with KeyTooLongError"
        self.keys.append(key)


def test_a_file_whose_name_is_as_long_as_can_be_has_a_receipt_of_its_own() -> None:
    written = Written()
    names = [f"{'é' * 500}{number}.csv" for number in (1, 2)]
    for name in names:
        pending = Pending(f"inbound/p/{name}", '"0123456789"', 1, NOW)
        assert len(pending.key.encode()) <= 1024
        assert report_unmatched(cast(LandingBucket, written), pending, "no feed takes it")
        assert not report_unmatched(cast(LandingBucket, written), pending, "no feed takes it")
    assert len(set(written.keys)) == 2
    assert all(key.endswith(".csv.01234567.unmatched.json") for key in written.keys)
