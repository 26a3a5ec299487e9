"""Runs `ministack` as the local cloud's AWS: `python -m data_platform.local_cloud.aws_server --port N --state DIR
--data DIR`.

Closes the gaps between ministack 1.5.33 and what AWS documents, with `aws_sftp` and `ecs`; each has a contract test in
`data_platform_tests/local_cloud/`:

- SFTP writes bypass S3: no versions, nothing on disk, and a file on disk reads as empty (`aws_sftp`).
- It drops Transfer users' session policies: a partner could write into its receipts.
- A kill between the writes of an object's bytes and metadata mixes two versions; a failed write is a warning.
- It runs without SFTP if SFTP's port is taken.
- It saves its state (buckets' versioning, secrets, Transfer users) only when it stops in order.
- ECS's containers need Docker (`ecs.gaps`).
- It lists versions as XML even of keys that XML can't hold.
- It keeps SFTP's host key among its data, which `reset` removes.
- It sorts the whole bucket for each page of a listing, and keeps the bytes of each version in memory.

`aws.part` sets the environment variables that configure it.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import unescape

import ministack.app as ministack_app
from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.core import persistence
from ministack.core.responses import get_account_id
from ministack.services import s3, transfer

from data_platform.local_cloud import aws_sftp, keys
from data_platform.local_cloud.aws import BODY_WRITTEN, FACTS_WRITTEN
from data_platform.local_cloud.ecs import gaps as ecs_gaps
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK

logger = logging.getLogger(__name__)

_KEYS = re.compile(
    rb"(<(?:Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>)([^<]*)(</(?:Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>)"
)
SAVED_EVERY = 2.0
"""Seconds between saves of the services whose state changed."""

SAVED_SERVICES = ("s3", "transfer", "ssm", "secretsmanager", "iam", "kms", "ecs")


class SortedObjects(dict[str, Any]):
    """A bucket's objects by key, with the keys in S3's order: UTF-8 bytes, which is code point order."""

    def __init__(self, objects: dict[str, Any]) -> None:
        super().__init__(objects)
        self._ordered: list[str] = sorted(objects)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self:
            bisect.insort(self._ordered, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._forget(key)

    def pop(self, key: str, *default: Any) -> Any:
        known = key in self
        value = super().pop(key, *default)
        if known:
            self._forget(key)
        return value

    def clear(self) -> None:
        super().clear()
        self._ordered.clear()

    def __reduce__(self) -> tuple[type[SortedObjects], tuple[dict[str, Any]]]:
        return SortedObjects, (dict(self),)

    def from_key(self, start: str) -> Iterator[str]:
        """The keys from `start` on, in order."""
        for position in range(bisect.bisect_left(self._ordered, start), len(self._ordered)):
            yield self._ordered[position]

    def _forget(self, key: str) -> None:
        del self._ordered[bisect.bisect_left(self._ordered, key)]


def list_page(
    objects: dict[str, Any], prefix: str, delimiter: str, max_keys: int, start_after: str
) -> tuple[list[str], list[str], bool, str]:
    """One page of ListObjects: (keys, common prefixes, truncated, last row). Skips all keys before the page."""
    keys: list[str] = []
    common: list[str] = []
    last = ""
    ordered = objects if isinstance(objects, SortedObjects) else SortedObjects(objects)
    start = max(prefix, start_after)
    while True:
        jump = ""
        for key in ordered.from_key(start):
            if not key.startswith(prefix):
                return keys, common, False, last
            row, is_common = key, False
            if delimiter and (end := key.find(delimiter, len(prefix))) >= 0:
                row, is_common = key[: end + len(delimiter)], True
            if row > start_after:
                if len(keys) + len(common) >= max_keys:
                    return keys, common, True, last
                (common if is_common else keys).append(row)
                last = row
            if is_common:  # skip the rest of the group
                jump = row[:-1] + chr(ord(row[-1]) + 1)
                break
        if not jump:
            return keys, common, False, last
        start = jump


def write_object(path: Path, body: bytes | None, facts: str) -> None:
    """Write an object's metadata, and its bytes unless they are None.

    Writes both under other names, the bytes first, and then renames both, the bytes first: whatever a kill leaves,
    `aws.finish_writes` can tell whether the object is the old one or the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    body_aside, facts_aside = (path.with_name(path.name + suffix) for suffix in (BODY_WRITTEN, FACTS_WRITTEN))
    if body is not None:
        body_aside.write_bytes(body)
    facts_aside.write_text(facts, encoding="utf-8")
    if body is not None:
        body_aside.replace(path)
    facts_aside.replace(path.with_name(path.name + ".meta.json"))


def close_gaps() -> None:
    """Replace functions in ministack's modules. Call it once, before the server starts."""
    aws_sftp.install(transfer, s3)

    find_bucket, list_versions, create_user, describe_user, start_sftp = (
        s3._ensure_bucket,
        s3._list_object_versions,
        transfer._create_user,
        transfer._describe_user,
        transfer.sftp_start,
    )

    def ensure_bucket(name: str) -> dict[str, Any] | None:
        bucket: dict[str, Any] | None = find_bucket(name)
        if bucket is not None and not isinstance(bucket["objects"], SortedObjects):
            bucket["objects"] = SortedObjects(bucket["objects"])
        return bucket

    def persist_object(bucket: str, key: str, record: dict[str, Any]) -> None:
        facts = {**s3._object_meta_from_record(record), **s3._key_history_meta(bucket, key), "key": key}
        path = Path(s3._object_disk_path(bucket, key))
        write_object(path, record.get("body"), json.dumps(facts))
        record["body"] = None
        base = Path(s3.DATA_DIR) / get_account_id() / bucket
        s3._remove_key_files(s3._other_key_disk_path(str(base), key, str(path)))
        for version in s3._object_versions.get((bucket, key)) or ():
            if version["version_id"] == (record.get("version_id") or "null"):
                version["data"] = None  # otherwise ministack keeps the bytes of every version in memory

    def list_versions_encoded(bucket: str, query: dict[str, Any]) -> Any:
        """With `encoding-type=url`, which boto3 asks for: XML can't hold every character of a key."""
        status, headers, body = list_versions(bucket, query)
        if status == 200 and s3._qp(query, "encoding-type", "") == "url":
            body = _KEYS.sub(lambda found: found[1] + quote(unescape(found[2].decode())).encode() + found[3], body)
            body = body.replace(b"<IsTruncated>", b"<EncodingType>url</EncodingType><IsTruncated>", 1)
        return status, headers, body

    def create_user_with_policy(data: dict[str, Any]) -> Any:
        answer = create_user(data)
        if answer[0] == 200 and data.get("Policy"):
            transfer._users[f"{data['ServerId']}/{data['UserName']}"]["Policy"] = data["Policy"]
        return answer

    def describe_user_with_policy(data: dict[str, Any]) -> Any:
        status, headers, body = describe_user(data)
        user = transfer._users.get(f"{data.get('ServerId')}/{data.get('UserName')}")
        if status == 200 and user and user.get("Policy"):
            described = json.loads(body)
            described["User"]["Policy"] = user["Policy"]
            body = json.dumps(described).encode()
        return status, headers, body

    async def start_sftp_or_end() -> None:
        await start_sftp()
        if transfer._sftp_shared_acceptor is None:
            # Partners would reach the program that has the port, such as another local cloud.
            print(f"SFTP can't listen on port {transfer._shared_port()}: another program uses it", flush=True)  # noqa: T201
            os._exit(1)

    transfer.sftp_start = start_sftp_or_end
    s3._ensure_bucket = ensure_bucket
    s3._persist_object = persist_object
    s3._collect_list_entries = list_page
    s3._list_object_versions = list_versions_encoded
    transfer._create_user = create_user_with_policy
    transfer._describe_user = describe_user_with_policy


def save_changes(saved: dict[str, str]) -> None:
    """Save the services whose state differs from `saved`, and update `saved`."""
    for name, state in ministack_app._build_persistence_save_dict().items():
        if name in SAVED_SERVICES:
            current = state()
            text = json.dumps(current, default=persistence._json_default, sort_keys=True)
            if saved.get(name) != text:
                persistence.save_state(name, current)
                saved[name] = text


async def save_now_and_then() -> None:
    """Save changes every few seconds until cancelled."""
    saved: dict[str, str] = {}
    while True:
        await asyncio.sleep(SAVED_EVERY)
        try:
            save_changes(saved)
        except Exception:  # a task's thread may change the state while it is read: try again
            logger.exception("could not save changed state; retrying")


async def run(port: int) -> None:
    """Serve until SIGTERM or SIGINT, then save the state."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    async def stopped() -> None:
        await stopping.wait()

    config = Config()
    config.bind = [f"{LOOPBACK}:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    saving = asyncio.create_task(save_now_and_then())
    try:
        await serve(ministack_app.app, config, shutdown_trigger=stopped)
    finally:
        saving.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="the local cloud's folder")
    parser.add_argument("--data", type=Path, required=True, help="this part's folder in it")
    arguments = parser.parse_args()
    arguments.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    close_gaps()
    host_key = str(keys.sftp_host_key(Layout(arguments.state)))
    transfer._sftp_host_key_path = lambda: host_key
    ecs_gaps.close(arguments.state, arguments.data)
    asyncio.run(run(arguments.port))


if __name__ == "__main__":
    main()
