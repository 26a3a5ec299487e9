"""The contract of the local S3: what the platform relies on, through boto3 and obstore, as S3 documents
it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import obstore
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from data_platform.local_cloud import aws_server
from data_platform.local_cloud.aws import finish_writes
from data_platform.local_cloud.aws_server import SortedObjects, list_page, write_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

server = pytest.mark.server


@pytest.fixture(scope="module")
def s3(local_cloud: Mapping[str, str]) -> S3Client:
    return aws(local_cloud, "s3")


def aws(environment: Mapping[str, str], service: str) -> Any:
    client: Any = boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    return client


@pytest.fixture(scope="module")
def landing(local_cloud: Mapping[str, str]) -> str:
    return local_cloud["DATA_PLATFORM_LANDING_BUCKET"]


@pytest.fixture(scope="module")
def lake(local_cloud: Mapping[str, str]) -> str:
    return local_cloud["DATA_PLATFORM_LAKE_BUCKET"]


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own, so that tests share the buckets."""
    return f"contract/{uuid4().hex}/"


@pytest.fixture
def store(local_cloud: Mapping[str, str], lake: str) -> S3Store:
    return S3Store(
        lake,
        endpoint=local_cloud["AWS_ENDPOINT_URL"],
        region=local_cloud["AWS_REGION"],
        access_key_id=local_cloud["AWS_ACCESS_KEY_ID"],
        secret_access_key=local_cloud["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def refused_with(code: str) -> Any:
    return pytest.raises(ClientError, match=re.escape(f"({code})"))


@server
def test_the_landing_bucket_keeps_versions_and_expires_old_ones(s3: S3Client, landing: str, lake: str) -> None:
    assert s3.get_bucket_versioning(Bucket=landing)["Status"] == "Enabled"
    assert "Status" not in s3.get_bucket_versioning(Bucket=lake)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=landing)["Rules"]
    assert {rule["ID"] for rule in rules} == {"abort-unfinished-uploads", "expire-noncurrent-versions"}


@server
def test_an_overwritten_objects_versions_can_each_be_read_and_deleted(s3: S3Client, landing: str, prefix: str) -> None:
    first, second = (
        s3.put_object(Bucket=landing, Key=f"{prefix}a", Body=body)["VersionId"] for body in (b"one", b"two")
    )
    assert first != second
    assert s3.get_object(Bucket=landing, Key=f"{prefix}a", VersionId=first)["Body"].read() == b"one"
    assert s3.head_object(Bucket=landing, Key=f"{prefix}a")["VersionId"] == second
    s3.delete_object(Bucket=landing, Key=f"{prefix}a", VersionId=second)
    assert s3.get_object(Bucket=landing, Key=f"{prefix}a")["Body"].read() == b"one"
    s3.delete_object(Bucket=landing, Key=f"{prefix}a", VersionId=first)
    with refused_with("NoSuchKey"):
        s3.get_object(Bucket=landing, Key=f"{prefix}a")


@server
def test_deleting_without_a_version_leaves_a_marker_over_the_versions(s3: S3Client, landing: str, prefix: str) -> None:
    version = s3.put_object(Bucket=landing, Key=f"{prefix}a", Body=b"kept")["VersionId"]
    assert s3.delete_object(Bucket=landing, Key=f"{prefix}a")["DeleteMarker"] is True
    found = s3.list_object_versions(Bucket=landing, Prefix=prefix)
    assert [v["VersionId"] for v in found["Versions"]] == [version]
    assert [marker["IsLatest"] for marker in found["DeleteMarkers"]] == [True]
    assert s3.list_objects_v2(Bucket=landing, Prefix=prefix)["KeyCount"] == 0
    assert s3.get_object(Bucket=landing, Key=f"{prefix}a", VersionId=version)["Body"].read() == b"kept"


@server
def test_versions_are_listed_newest_first_and_by_page(s3: S3Client, landing: str, prefix: str) -> None:
    made = [s3.put_object(Bucket=landing, Key=f"{prefix}a", Body=b"x")["VersionId"] for _ in range(5)]
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=landing, Prefix=prefix, PaginationConfig={"PageSize": 2}
    )
    assert [version["VersionId"] for page in pages for version in page["Versions"]] == made[::-1]


@server
def test_a_put_that_must_not_overwrite_fails_the_second_time(s3: S3Client, lake: str, prefix: str) -> None:
    s3.put_object(Bucket=lake, Key=f"{prefix}manifest.json", Body=b"mine", IfNoneMatch="*")
    with refused_with("PreconditionFailed"):
        s3.put_object(Bucket=lake, Key=f"{prefix}manifest.json", Body=b"theirs", IfNoneMatch="*")
    assert s3.get_object(Bucket=lake, Key=f"{prefix}manifest.json")["Body"].read() == b"mine"


@server
def test_a_put_on_condition_of_the_etag_fails_when_the_object_changed(s3: S3Client, lake: str, prefix: str) -> None:
    etag = s3.put_object(Bucket=lake, Key=f"{prefix}a", Body=b"1")["ETag"]
    s3.put_object(Bucket=lake, Key=f"{prefix}a", Body=b"2", IfMatch=etag)
    with refused_with("PreconditionFailed"):
        s3.put_object(Bucket=lake, Key=f"{prefix}a", Body=b"3", IfMatch=etag)


@server
def test_a_given_version_is_copied_though_it_is_not_the_latest(s3: S3Client, landing: str, prefix: str) -> None:
    first = s3.put_object(Bucket=landing, Key=f"{prefix}in é+ &.csv", Body=b"first")["VersionId"]
    s3.put_object(Bucket=landing, Key=f"{prefix}in é+ &.csv", Body=b"second")
    copied = s3.copy_object(
        Bucket=landing,
        Key=f"{prefix}archive/in.csv",
        CopySource={"Bucket": landing, "Key": f"{prefix}in é+ &.csv", "VersionId": first},
    )
    assert copied["CopySourceVersionId"] == first
    assert s3.get_object(Bucket=landing, Key=f"{prefix}archive/in.csv")["Body"].read() == b"first"


@server
def test_a_range_and_metadata_come_back(s3: S3Client, lake: str, prefix: str) -> None:
    s3.put_object(Bucket=lake, Key=f"{prefix}a", Body=b"0123456789", Metadata={"sha256": "abc"})
    found = s3.get_object(Bucket=lake, Key=f"{prefix}a", Range="bytes=2-4")
    assert (found["Body"].read(), found["Metadata"]) == (b"234", {"sha256": "abc"})


KEYS = [
    "a b",
    "é/ü",
    "x+y=z&w",
    "100%",
    "q?v=1",
    "a/../b",
    "dots/./x",
    "trailing/",
    "a//b",
    "a",
    "a/b",
    "日本",
    "#;,'\"<>",
]


@server
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_characters_is_kept_as_it_is(s3: S3Client, lake: str, prefix: str, key: str) -> None:
    s3.put_object(Bucket=lake, Key=prefix + key, Body=key.encode())
    assert s3.get_object(Bucket=lake, Key=prefix + key)["Body"].read() == key.encode()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=lake, Prefix=prefix)["Contents"]] == [prefix + key]


# obstore: what the lake and the landing listing use


@server
def test_obstore_creates_only_what_is_not_there(store: S3Store, prefix: str) -> None:
    obstore.put(store, f"{prefix}manifest.json", b"mine", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, f"{prefix}manifest.json", b"theirs", mode="create")
    assert bytes(obstore.get(store, f"{prefix}manifest.json").bytes()) == b"mine"


@server
def test_obstore_reads_size_etag_and_time_with_the_object(store: S3Store, s3: S3Client, lake: str, prefix: str) -> None:
    put = obstore.put(store, f"{prefix}a", b"12345")
    meta = obstore.get(store, f"{prefix}a").meta
    assert (meta["size"], meta["e_tag"]) == (5, put["e_tag"])
    assert meta["last_modified"] == s3.head_object(Bucket=lake, Key=f"{prefix}a")["LastModified"]


@server
def test_obstore_sees_the_version_it_put_and_got(local_cloud: Mapping[str, str], landing: str, prefix: str) -> None:
    versioned = S3Store(
        landing,
        endpoint=local_cloud["AWS_ENDPOINT_URL"],
        region=local_cloud["AWS_REGION"],
        access_key_id=local_cloud["AWS_ACCESS_KEY_ID"],
        secret_access_key=local_cloud["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    first = obstore.put(versioned, f"{prefix}a", b"one")["version"]
    obstore.put(versioned, f"{prefix}a", b"two")
    assert obstore.head(versioned, f"{prefix}a")["version"] != first
    old = obstore.get(versioned, f"{prefix}a", options={"version": first})
    assert (bytes(old.bytes()), old.meta["version"]) == (b"one", first)


@server
def test_obstore_lists_on_from_a_key(store: S3Store, prefix: str) -> None:
    for number in range(7):
        obstore.put(store, f"{prefix}{number}", b"")
    batches = obstore.list(store, prefix, offset=f"{prefix}2", chunk_size=2)
    assert [meta["path"] for batch in batches for meta in batch] == [f"{prefix}{n}" for n in range(3, 7)]


@server
def test_obstore_lists_one_level_of_folders(store: S3Store, prefix: str) -> None:
    for key in ("a/1", "a/2", "b/1", "c"):
        obstore.put(store, prefix + key, b"")
    found = obstore.list_with_delimiter(store, prefix)
    assert found["common_prefixes"] == [f"{prefix}a", f"{prefix}b"]
    assert [meta["path"] for meta in found["objects"]] == [f"{prefix}c"]


@server
def test_obstore_copies_renames_and_deletes(store: S3Store, prefix: str) -> None:
    obstore.put(store, f"{prefix}a", b"x")
    obstore.copy(store, f"{prefix}a", f"{prefix}b")
    obstore.rename(store, f"{prefix}b", f"{prefix}c")
    obstore.delete(store, [f"{prefix}a"])
    assert [meta["path"] for batch in obstore.list(store, prefix) for meta in batch] == [f"{prefix}c"]


@server
def test_obstore_uploads_large_objects_in_parts(store: S3Store, prefix: str) -> None:
    content = bytes(range(256)) * 80_000
    obstore.put(store, f"{prefix}large", content, use_multipart=True, chunk_size=5 * 1024 * 1024)
    assert bytes(obstore.get(store, f"{prefix}large").bytes()) == content


@server
def test_a_streamed_upload_shows_nothing_until_it_is_finished(store: S3Store, prefix: str) -> None:
    writer = obstore.open_writer(store, f"{prefix}part-00000.parquet", buffer_size=5 * 1024 * 1024)
    writer.write(b"x" * 6 * 1024 * 1024)
    assert not [meta for batch in obstore.list(store, prefix) for meta in batch]
    writer.close()
    assert obstore.head(store, f"{prefix}part-00000.parquet")["size"] == 6 * 1024 * 1024


@server
def test_secrets_and_parameters_can_be_put_and_read(local_cloud: Mapping[str, str]) -> None:
    name = f"/data-platform/{uuid4().hex}"
    aws(local_cloud, "ssm").put_parameter(Name=name, Value="v", Type="SecureString")
    found = aws(local_cloud, "ssm").get_parameter(Name=name, WithDecryption=True)
    assert found["Parameter"]["Value"] == "v"
    aws(local_cloud, "secretsmanager").create_secret(Name=name, SecretString=json.dumps({"password": "p"}))
    assert json.loads(aws(local_cloud, "secretsmanager").get_secret_value(SecretId=name)["SecretString"]) == {
        "password": "p"
    }


# The files of an object, which a killed server may leave half written


@pytest.mark.parametrize("steps", range(5))
def test_a_write_cut_off_anywhere_leaves_the_old_object_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    path = tmp_path / "bucket" / "a.csv"
    write_object(path, b"old", "old")
    taken = 0

    def cut_off(name: str) -> None:
        whole = getattr(Path, name)

        def step(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken > steps:
                raise KeyboardInterrupt
            return whole(self, *arguments, **options)

        monkeypatch.setattr(Path, name, step)

    with monkeypatch.context() as patched:
        monkeypatch = patched
        for name in ("write_bytes", "write_text", "replace"):
            cut_off(name)
        with contextlib.suppress(KeyboardInterrupt):
            write_object(path, b"new", "new")
    finish_writes(tmp_path)
    expected = "new" if steps > 2 else "old"
    assert (path.read_text(), (tmp_path / "bucket" / "a.csv.meta.json").read_text()) == (expected, expected)
    assert sorted(found.name for found in path.parent.iterdir()) == ["a.csv", "a.csv.meta.json"]


# What is saved now and then


def test_a_save_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS's tasks have threads of their own, which change what is being copied."""
    states = iter([_changed_meanwhile, lambda: {"of": "the second look"}])

    def save(name: str, state: dict[str, str]) -> None:
        raise asyncio.CancelledError(f"{name}: {state}")  # seen enough

    monkeypatch.setattr(aws_server, "SAVED_EVERY", 0.0)
    monkeypatch.setattr(aws_server.ministack_app, "_build_persistence_save_dict", lambda: {"ecs": next(states)})
    monkeypatch.setattr(aws_server.persistence, "save_state", save)
    with pytest.raises(asyncio.CancelledError, match="the second look"):
        asyncio.run(aws_server.save_now_and_then())


def _changed_meanwhile() -> None:
    raise RuntimeError("dictionary changed size during iteration")


# The listing we put in ministack's place

object_keys = st.lists(st.text(alphabet="ab/é~", min_size=1, max_size=6), max_size=30, unique=True)


def listed(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """What ListObjectsV2 documents: keys in UTF-8 order, those with the delimiter after the prefix rolled
    up."""
    rows = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            rows.add(key if end < 0 else key[: end + 1])
    return sorted(rows, key=str.encode)


@given(object_keys, st.sampled_from(["", "a", "a/", "é"]), st.sampled_from(["", "/"]), st.integers(1, 7))
def test_pages_of_any_size_list_every_key_once_and_in_order(
    keys: list[str], prefix: str, delimiter: str, size: int
) -> None:
    objects = SortedObjects(dict.fromkeys(keys))
    rows: list[str] = []
    after, more = "", True
    while more:
        found, common, more, after = list_page(objects, prefix, delimiter, size, after)
        assert len(found) + len(common) <= size
        rows += sorted([*found, *common], key=str.encode)
    assert rows == listed(keys, prefix, delimiter)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(["put", "del", "pop"]), st.sampled_from("abcdé/")), max_size=40))
def test_sorted_objects_stay_sorted_through_any_history(history: list[tuple[str, str]]) -> None:
    objects = SortedObjects({})
    for action, key in history:
        if action == "put":
            objects[key] = None
        elif action == "pop":
            objects.pop(key, None)
        elif key in objects:
            del objects[key]
        assert list(objects.from_key("")) == sorted(objects)
