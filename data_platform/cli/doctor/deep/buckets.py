"""Whether S3 keeps two promises that extracts rest on: a conditional put, and "not found" for a missing key."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from data_platform.cli.doctor.finding import Finding
from data_platform.environment import Settings


def buckets(settings: Settings) -> Iterator[Finding]:
    """The lake, below _doctor/, and the landing bucket."""
    from data_platform.lake.store import open_bucket

    lake = open_bucket(settings, settings.lake_bucket)
    name = uuid.uuid4().hex
    yield conditional_put(lake, f"_doctor/{name}", f"lake s3://{settings.lake_bucket}")
    yield missing_key(lake, f"extracts/_doctor/{name}", f"lake s3://{settings.lake_bucket}")
    landing = open_bucket(settings, settings.landing_bucket)
    for folder in ("inbound", "receipts"):
        yield missing_key(landing, f"{folder}/_doctor/{name}", f"landing s3://{settings.landing_bucket}")


def conditional_put(store: Any, key: str, bucket: str) -> Finding:
    """Whether a second put with `If-None-Match: *` is refused. Two tries of one extract depend on it."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    subject = f"conditional put, {bucket}"
    obstore.put(store, key, b"first", mode="create")
    try:
        obstore.put(store, key, b"second", mode="create")
    except AlreadyExistsError:
        content = bytes(obstore.get(store, key).bytes())
        if content == b"first":
            return Finding(subject, "ok", "the second put was refused, and the first object stayed")
        return Finding(subject, "failed", f"the second put was refused, but the object is {content!r}", _OTHER_S3)
    else:
        return Finding(subject, "failed", "a second put with If-None-Match overwrote the first", _OTHER_S3)
    finally:
        obstore.delete(store, key)


_OTHER_S3 = "use an S3 that honors If-None-Match: without it, two tries of one extract can both be committed"


def missing_key(store: Any, key: str, bucket: str) -> Finding:
    """Whether a missing key is "not found" (404), and not "forbidden" (403), which fails a feed's first extract."""
    import obstore

    folder = key.partition("/")[0]
    subject = f"missing key in {folder}/, {bucket}"
    try:
        obstore.head(store, key)
    except FileNotFoundError:
        return Finding(subject, "ok", "is reported as missing")
    except Exception as error:
        line = str(error).strip().splitlines()[0][:200]
        return Finding(subject, "failed", line, "allow s3:ListBucket on the bucket to this role: S3 then answers 404")
    return Finding(subject, "failed", f"{key} exists, and nobody wrote it", "look at the bucket")
