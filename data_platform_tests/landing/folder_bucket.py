"""A landing bucket that is a folder: for tests of what becomes of files, where S3 itself shows nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from obstore.store import LocalStore

from data_platform.landing.bucket import INBOUND, LandingBucket, Pending
from data_platform.landing.delivery import Delivery, DeliveryGone


class FolderBucket(LandingBucket):
    """The bucket of a folder, whose path is its name. Keeps no old versions."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(LocalStore(folder), _no_client, str(folder))

    def pages(self, *, start_after: str | None = None, prefix: str = INBOUND) -> Iterator[list[Pending]]:
        root = Path(self.name)
        keys = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
        found = [self._delivery(key) for key in keys if key.startswith(prefix) and key > (start_after or "")]
        yield [Pending(each.key, each.etag, each.size, each.landed_at) for each in found]

    def current(self, key: str) -> Delivery | None:
        return self._delivery(key) if (Path(self.name) / key).is_file() else None

    def older_versions(self, delivery: Delivery) -> list[Delivery]:
        return []

    def open(self, delivery: Delivery) -> BinaryIO:
        if self.current(delivery.key) is None:
            raise DeliveryGone(delivery.key)
        return (Path(self.name) / delivery.key).open("rb")

    def put(self, key: str, body: bytes) -> None:
        file = Path(self.name) / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    def copy(self, delivery: Delivery, to_key: str) -> None:
        if self.current(delivery.key) is not None:
            to = Path(self.name) / to_key
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(self.name) / delivery.key, to)

    def delete(self, *deliveries: Delivery) -> None:
        for each in deliveries:
            if self.current(each.key) == each:
                (Path(self.name) / each.key).unlink()

    def _delivery(self, key: str) -> Delivery:
        about = (Path(self.name) / key).stat()
        version = str(about.st_mtime_ns)
        return Delivery(key, version, f'"{version}"', about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))


def _no_client() -> Any:
    raise AssertionError("a folder has no S3 client")
