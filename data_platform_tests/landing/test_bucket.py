"""The landing bucket on the local S3: what partners may call their files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping

import pytest

from data_platform.environment import Settings
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.client import open_landing_bucket
from data_platform.landing.delivery import DeliveryGone

pytestmark = pytest.mark.server


@pytest.fixture
def bucket(local_cloud: Mapping[str, str]) -> Iterator[LandingBucket]:
    settings = Settings.from_environment(local_cloud)
    name = settings.landing_bucket
    bucket = open_landing_bucket(settings, name)
    yield bucket
    for page in bucket.pages(prefix="inbound/odd/"):
        for pending in page:
            if (current := bucket.current(pending.key)) is not None:
                bucket.delete(current)


@pytest.mark.parametrize("odd", ["m//m.csv", "m\nm.csv", "m\tm.csv", "../m.csv", "m/./m.csv"])
def test_a_name_that_obstore_refuses_hides_no_other_file(bucket: LandingBucket, odd: str) -> None:
    names = sorted(["a.csv", odd, "z.csv"])
    for name in names:
        bucket.put(f"inbound/odd/{name}", b"x")
    listed = [pending for page in bucket.pages(prefix="inbound/odd/") for pending in page]
    assert [pending.file_name for pending in listed] == names
    assert {pending.size for pending in listed} == {1}
    after = [
        pending for page in bucket.pages(start_after=f"inbound/odd/{odd}", prefix="inbound/odd/") for pending in page
    ]
    assert [pending.file_name for pending in after] == names[names.index(odd) + 1 :]


@pytest.mark.parametrize(
    "odd",
    [
        "m\x01.csv",
        "[red]%41 +&<>'\"\\.csv",
        "\u202em.csv",
        " m ",
        "..",
        "é" * 127,
        "a?b#c.csv",
        "\x7f.csv",
        "e\u0301.csv",
    ],
)
def test_a_file_of_any_name_is_listed_read_copied_and_deleted(bucket: LandingBucket, odd: str) -> None:
    key, kept = f"inbound/odd/{odd}", f"archive/odd/{uuid.uuid4().hex}/{odd}"
    bucket.put(key, b"old")
    bucket.put(key, b"x")
    assert key in [pending.key for page in bucket.pages(prefix="inbound/odd/") for pending in page]
    current = bucket.current(key)
    assert current is not None
    assert bucket.open(current).read() == bucket.read(key) == b"x"
    (older,) = bucket.older_versions(current)
    bucket.copy(current, kept)
    bucket.delete(current, older)
    assert not bucket.exists(key)
    bucket.copy_back(kept, key)
    again = bucket.current(key)
    assert again is not None
    assert bucket.open(again).read() == b"x"


def test_exactly_one_version_is_copied_and_deleted_however_often(bucket: LandingBucket) -> None:
    key, moved = "inbound/odd/m.csv", f"archive/odd/{uuid.uuid4().hex}/m.csv"
    bucket.put(key, b"old")
    old = bucket.current(key)
    bucket.put(key, b"new")
    assert old is not None
    for _ in range(2):
        bucket.copy(old, moved)
        bucket.delete(old)
    archived, new = bucket.current(moved), bucket.current(key)
    assert archived is not None and new is not None
    assert (bucket.open(archived).read(), bucket.open(new).read()) == (b"old", b"new")
    assert bucket.older_versions(new) == []
    with pytest.raises(DeliveryGone):
        bucket.open(old)


@pytest.mark.parametrize("name", ["é ü%20+.csv", "a//b.csv"])
def test_any_name_is_read_as_the_version_that_is_there(bucket: LandingBucket, name: str) -> None:
    key = f"inbound/odd/{name}"
    body = bytes(range(256)) * 9_000  # more than a chunk
    bucket.put(key, body)
    current = bucket.current(key)
    assert current is not None
    assert (current.size, bucket.open(current).read()) == (len(body), body)
    (listed,) = [one for page in bucket.pages(prefix="inbound/odd/") for one in page]
    assert (listed.key, listed.etag, listed.size) == (key, current.etag, current.size)
    bucket.delete(current)
    assert bucket.current(key) is None
    with pytest.raises(DeliveryGone):
        bucket.open(current)
