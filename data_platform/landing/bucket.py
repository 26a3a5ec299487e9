"""The landing bucket: its layout, and version-exact reads, copies and deletes.

Listing goes through obstore (20 times less CPU a key than boto3); whatever must name one version of an object goes
through boto3, as obstore's interface has no versions. Deleting names the version, always: a delete without one
would hide bytes that the partner put there in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from botocore.exceptions import ClientError
from obstore.exceptions import InvalidPathError

from data_platform.landing.delivery import Delivery, DeliveryGone

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef
    from obstore.store import ObjectStore

INBOUND = "inbound/"
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


def landed_at(token: str) -> datetime:
    """When the upload landed that a `Pending.token` tells from others, to the millisecond."""
    return datetime.fromtimestamp(int(token.rpartition("-")[2], 16) / 1000, UTC)


class LandingBucket:
    """One versioned bucket that partners deliver to. `store` lists it, `client` does what names a version."""

    def __init__(self, store: ObjectStore, client: S3Client, name: str) -> None:
        self._store = store
        self._client = client
        self.name = name

    def pages(self, *, start_after: str | None = None, prefix: str = INBOUND) -> Iterator[list[Pending]]:
        """Pending objects in key order, a page of up to 1,000 at a time, from after a key on."""
        last = start_after
        try:
            for page in self._store.list(prefix=prefix, offset=start_after, chunk_size=1000):
                found = [
                    Pending(item["path"], item["e_tag"] or "", item["size"], item["last_modified"]) for item in page
                ]
                yield found
                last = found[-1].key if found else last
        except (InvalidPathError, ValueError):  # met in a page, or the one to begin after
            # A name that S3 takes and obstore doesn't (`a//b`, one with a line break) must not hide all the others.
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
            head = self._client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return Delivery(key, head.get("VersionId", "null"), head["ETag"], head["ContentLength"], head["LastModified"])

    def older_versions(self, delivery: Delivery) -> list[Delivery]:
        """Versions of the same key that were overwritten before they were settled, oldest first.

        Which is older is S3's word, which lists a key's versions from the newest on, not a clock's: an upload in parts
        bears the time when it began. They count as landed no later than what took their place.
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
            response = self._client.get_object(Bucket=self.name, Key=delivery.key, VersionId=delivery.version_id)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise DeliveryGone(f"{delivery.key}, version {delivery.version_id}, is gone") from None
            raise
        return cast(BinaryIO, response["Body"])

    def put(self, key: str, body: bytes) -> None:
        """Writes a small object, of JSON."""
        self._client.put_object(Bucket=self.name, Key=key, Body=body, ContentType="application/json")

    def move(self, delivery: Delivery, to_key: str) -> None:
        """Copies exactly that version to `to_key`, then deletes exactly that version. Safe to do again: a version
        that is gone counts as moved."""
        source: CopySourceTypeDef = {
            "Bucket": self.name,
            "Key": delivery.key,
            "VersionId": delivery.version_id,
        }
        try:
            if delivery.size <= _LARGEST_COPY:
                self._client.copy_object(CopySource=source, Bucket=self.name, Key=to_key)
            else:
                self._client.copy(CopySource=source, Bucket=self.name, Key=to_key, SourceClient=self._client)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return
        self.delete(delivery)

    def delete(self, delivery: Delivery) -> None:
        """Deletes exactly that version."""
        self._client.delete_object(Bucket=self.name, Key=delivery.key, VersionId=delivery.version_id)

    def copy_back(self, from_key: str, to_key: str) -> None:
        """Puts an archived or quarantined file into inbound again, as a new version: a replay."""
        self._client.copy(CopySource={"Bucket": self.name, "Key": from_key}, Bucket=self.name, Key=to_key)
