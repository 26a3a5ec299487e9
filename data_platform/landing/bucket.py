"""The landing bucket: its layout, and version-exact reads, copies and deletes.

obstore does what it can (for a tenth of boto3's CPU, or less); boto3 does the rest: listing, copying and deleting one
version of an object, and keys that obstore refuses. Deleting always names the version: a delete without one would hide
bytes that the partner put there in the meantime.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from botocore.exceptions import ClientError
from obstore.exceptions import InvalidPathError

from data_platform.landing.delivery import Delivery, DeliveryGone

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, ObjectIdentifierTypeDef
    from obstore.store import ObjectStore

INBOUND = "inbound/"
_REFUSED = (InvalidPathError, ValueError)
"""What obstore raises for a key that S3 takes and it doesn't: `a//b`, or one with a line break."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML can't hold, and a key can: a request that names such a key among others is refused as a whole."""
_CONNECTING = threading.Lock()
"""boto3 can't make clients in several threads at once."""
_CHUNK = 2**20
_DELETES_AT_ONCE = 1_000
_LARGEST_COPY = 5 * 10**9
"""S3 copies objects of up to 5 GB in one request; larger ones go in parts, by boto3's transfer manager."""


class Pending(NamedTuple):
    """An object in an inbound prefix, as a listing shows it (listings carry no version ids). There may be a hundred
    thousand, so it is the cheapest kind of record that Python has."""

    key: str
    etag: str
    size: int
    modified: datetime

    @property
    def partner(self) -> str:
        """From the key `inbound/<partner>/<file>`."""
        return self.key.split("/", 2)[1]

    @property
    def file_name(self) -> str:
        """What the partner called it, below its inbound folder."""
        return self.key.split("/", 2)[2]

    @property
    def token(self) -> str:
        """Tells this upload from any other, one of the same bytes under the same name included."""
        return f"{self.key}@{self.etag.strip(chr(34))}-{int(self.modified.timestamp() * 1000):x}"


class LandingBucket:
    """One versioned bucket that partners deliver to."""

    def __init__(self, store: ObjectStore, connect: Callable[[], S3Client], name: str) -> None:
        """`connect` makes boto3's client, once it is needed: reading a file rarely needs it, and importing boto3 takes
        0.3 s."""
        self.store = store
        self.name = name
        self._connect = connect
        self._connected: S3Client | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "name": self.name, "_connect": self._connect, "_connected": None}

    @property
    def _client(self) -> S3Client:
        with _CONNECTING:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def pages(self, *, start_after: str | None = None, prefix: str = INBOUND) -> Iterator[list[Pending]]:
        """Pending objects in key order, a page of up to 1,000 at a time, from after a key on."""
        last = start_after
        try:
            for page in self.store.list(prefix=prefix, offset=start_after, chunk_size=1000):
                found = [
                    Pending(item["path"], item["e_tag"] or "", item["size"], item["last_modified"]) for item in page
                ]
                yield found
                last = found[-1].key if found else last
        except _REFUSED:  # met in a page, or the one to begin after: it must not hide all the others
            yield from self._any_pages(last, prefix)

    def _any_pages(self, start_after: str | None, prefix: str) -> Iterator[list[Pending]]:
        after: dict[str, Any] = {"StartAfter": start_after} if start_after else {}
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, **after):
            yield [
                Pending(item["Key"], item["ETag"], item["Size"], item["LastModified"])
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")
            ]

    def exists(self, key: str) -> bool:
        """Whether there is a current object of that key."""
        return self.current(key) is not None

    def current(self, key: str) -> Delivery | None:
        """The current version of an object, or None where there is none."""
        try:
            found = self.store.head(key)
        except FileNotFoundError:
            return None
        except _REFUSED:
            return self._current(key)
        return Delivery(key, found["version"] or "null", found["e_tag"] or "", found["size"], found["last_modified"])

    def _current(self, key: str) -> Delivery | None:
        try:
            head = self._client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
        return Delivery(key, head.get("VersionId", "null"), head["ETag"], head["ContentLength"], head["LastModified"])

    def older_versions(self, delivery: Delivery) -> list[Delivery]:
        """Versions of the same key that were overwritten before they were settled, oldest first.

        The order is that of S3's listing, newest first, and not of the times: a multipart upload has the time at which
        it began. An older version counts as landed no later than the version that replaced it.
        """
        found: list[Delivery] = []
        reached = False
        paginator = self._client.get_paginator("list_object_versions")
        for page in paginator.paginate(Bucket=self.name, Prefix=delivery.key):
            for item in page.get("Versions", []):
                if item["Key"] != delivery.key:
                    continue
                if reached:
                    landed = min(item["LastModified"], delivery.landed_at)
                    found.append(Delivery(item["Key"], item["VersionId"], item["ETag"], item["Size"], landed))
                reached = reached or item["VersionId"] == delivery.version_id
        return found[::-1]

    def open(self, delivery: Delivery) -> BinaryIO:
        """The bytes of exactly that version, to be read once from start to end. Raises DeliveryGone."""
        try:
            found = self.store.get(delivery.key, options={"version": delivery.version_id})
            return io.BufferedReader(_Chunks(found.stream(_CHUNK)))
        except FileNotFoundError:
            pass
        except _REFUSED:
            try:
                response = self._client.get_object(Bucket=self.name, Key=delivery.key, VersionId=delivery.version_id)
                return cast(BinaryIO, response["Body"])
            except ClientError as error:
                if not _is_missing(error):
                    raise
        raise DeliveryGone(f"{delivery.key}, version {delivery.version_id}, is gone")

    def read(self, key: str) -> bytes:
        """The content of a small object. Raises FileNotFoundError."""
        try:
            return bytes(self.store.get(key).bytes())
        except FileNotFoundError:
            raise
        except _REFUSED:
            return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        """Writes a small object, of JSON."""
        try:
            self.store.put(key, body, attributes={"Content-Type": "application/json"})
        except _REFUSED:
            self._client.put_object(Bucket=self.name, Key=key, Body=body, ContentType="application/json")

    def copy(self, delivery: Delivery, to_key: str) -> None:
        """Copies exactly that version to `to_key`. A version that is gone was copied before it was deleted."""
        source: CopySourceTypeDef = {"Bucket": self.name, "Key": delivery.key, "VersionId": delivery.version_id}
        try:
            if delivery.size <= _LARGEST_COPY:
                self._client.copy_object(CopySource=source, Bucket=self.name, Key=to_key)
            else:
                self._client.copy(CopySource=source, Bucket=self.name, Key=to_key, SourceClient=self._client)
        except ClientError as error:
            if not _is_missing(error):
                raise

    def delete(self, *deliveries: Delivery) -> None:
        """Deletes exactly those versions, a thousand in a request; one that is gone is no error."""
        plain = [one for one in deliveries if not _NOT_XML.search(one.key)]
        for one in deliveries:
            if _NOT_XML.search(one.key):
                self._client.delete_object(Bucket=self.name, Key=one.key, VersionId=one.version_id)
        for start in range(0, len(plain), _DELETES_AT_ONCE):
            part = plain[start : start + _DELETES_AT_ONCE]
            objects: list[ObjectIdentifierTypeDef] = [{"Key": one.key, "VersionId": one.version_id} for one in part]
            answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            if refused := answer.get("Errors"):
                first = refused[0]
                raise OSError(
                    f"S3 did not delete {len(refused)} of {len(part)} settled files, the first of them"
                    f" {first.get('Key')}: {first.get('Code')}: {first.get('Message')}; the next run tries again"
                )

    def copy_back(self, from_key: str, to_key: str) -> None:
        """Puts an archived or quarantined file into inbound again, as a new version: a replay."""
        self._client.copy(CopySource={"Bucket": self.name, "Key": from_key}, Bucket=self.name, Key=to_key)


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _is_missing(error: ClientError) -> bool:
    return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 404)
