"""Maps a partner's SFTP paths to S3, and checks its session policy.

Follows AWS Transfer Family's rules for logical home folders, through ministack's own S3 operations in the partner's
account. `aws_sftp` answers the SFTP requests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncssh
from asyncssh.sftp import SFTPAttrs
from ministack.core import iam_evaluator
from ministack.core.responses import request_scope


class PartnerFolders:
    """The folders of one signed-in partner, each over a prefix of a bucket."""

    def __init__(self, connection: Any, transfer: Any, s3: Any) -> None:
        self._user: dict[str, Any] = connection.get_extra_info("ministack_user")
        self._account: str = connection.get_extra_info("ministack_account_id")
        self._region: str = connection.get_extra_info("ministack_region")
        self._transfer = transfer
        self._s3 = s3

    # Paths and permissions

    def path(self, path: bytes) -> str:
        """The absolute path, with `..` resolved and never above the root."""
        try:
            text = path.decode("utf-8")
        except UnicodeDecodeError:
            raise asyncssh.SFTPFailure("File names must be UTF-8") from None
        normal: str = self._transfer._sftp_normalize_virtual_path(text)
        return normal

    def target(self, path: bytes) -> tuple[str, str]:
        """(bucket, key) of a path; the bucket is empty for a path above or beside the user's folders."""
        bucket, key = self._transfer._sftp_resolve_s3_target(self._user, self.path(path))
        return bucket, key

    def object_target(self, path: bytes) -> tuple[str, str]:
        """(bucket, key) of a path that may hold a file. Raises SFTPPermissionDenied for a home folder or one above."""
        bucket, key = self.target(path)
        if not bucket or not key or self.path(path) in self._entries():
            raise asyncssh.SFTPPermissionDenied(f"Access denied: {self.path(path)}")
        return bucket, key

    def _entries(self) -> list[str]:
        return [
            self._transfer._sftp_normalize_virtual_path(mapping.get("Entry", "/"))
            for mapping in self._user.get("HomeDirectoryMappings") or []
        ]

    def require(self, action: str, bucket: str, key: str, *, prefix: str | None = None) -> None:
        """Raise SFTPPermissionDenied unless the user's session policy allows the action. A user without a policy may do
        everything: the local cloud doesn't check roles."""
        if not self._user.get("Policy"):
            return
        context = iam_evaluator.EvalContext(
            principal_arn=self._user["Arn"],
            principal_type="AssumedRole",
            principal_account=self._account,
            action=action,
            resource_arn=f"arn:aws:s3:::{bucket}" + (f"/{key}" if prefix is None else ""),
            region=self._region,
            service_context={} if prefix is None else {"s3:prefix": prefix},
        )
        policy = iam_evaluator.parse_policy_document(self._user["Policy"])
        if iam_evaluator.evaluate(context, [policy]).decision != "Allow":
            raise asyncssh.SFTPPermissionDenied("Access denied")

    # S3

    def call(self, method: str, bucket: str, key: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """Call one S3 operation on an object and return the body. Raises SFTPFailure if S3 refuses."""
        with request_scope(self._account, self._region):
            status, _, answer = self._s3._dispatch(method, bucket, key, headers, body, {})
        if status >= 300:
            raise asyncssh.SFTPFailure(f"S3 answered {status} to {method} of {key}")
        return bytes(answer or b"")

    def objects(self, bucket: str) -> dict[str, Any]:
        """The current objects of a bucket, by key."""
        with request_scope(self._account, self._region):
            found = self._s3._ensure_bucket(bucket)
        if found is None:
            raise asyncssh.SFTPNoSuchFile("No such bucket")
        objects: dict[str, Any] = found["objects"]
        return objects

    def page(self, bucket: str, prefix: str, limit: int) -> tuple[list[str], list[str]]:
        """At most `limit` (keys, common prefixes) one level below a prefix."""
        keys, folders, _, _ = self._s3._collect_list_entries(self.objects(bucket), prefix, "/", limit, "")
        return keys, folders

    # Attributes and folders

    def attributes(self, path: bytes) -> SFTPAttrs:
        """Size, kind and time of a path. Raises SFTPNoSuchFile if it doesn't exist."""
        bucket, key = self.target(path)
        if not bucket:
            if self._virtual_children(self.path(path)):
                return folder_attributes()
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self.path(path)}")
        if self.path(path) in self._entries():
            return folder_attributes()
        record = self.objects(bucket).get(key)
        if record is not None:
            return file_attributes(record)
        prefix = key.rstrip("/") + "/"
        if any(self.page(bucket, prefix, 1)):
            return folder_attributes()
        raise asyncssh.SFTPNoSuchFile(f"No such file: {self.path(path)}")

    def _virtual_children(self, folder: str) -> list[str]:
        """The names below a folder that only the mappings' entries create."""
        above = "/" if folder == "/" else folder + "/"
        below = [entry[len(above) :] for entry in self._entries() if entry.startswith(above)]
        return sorted({path.split("/")[0] for path in below if path})

    def names(self, path: bytes) -> dict[str, SFTPAttrs]:
        """A folder's names: `.`, `..`, then folders and files by name."""
        if self.attributes(path).type != asyncssh.FILEXFER_TYPE_DIRECTORY:
            raise asyncssh.SFTPNoSuchFile(f"Not a folder: {self.path(path)}")
        found: dict[str, SFTPAttrs] = dict.fromkeys((".", ".."), folder_attributes())
        found.update(dict.fromkeys(self._virtual_children(self.path(path)), folder_attributes()))
        bucket, key = self.target(path)
        if bucket:
            prefix = key.rstrip("/") + "/" if key else ""
            self.require("s3:ListBucket", bucket, "", prefix=prefix)
            keys, folders = self.page(bucket, prefix, 2**31)
            objects = self.objects(bucket)
            found.update({folder[len(prefix) : -1]: folder_attributes() for folder in folders})
            found.update({key[len(prefix) :]: file_attributes(objects[key]) for key in keys if key != prefix})
        return found


def folder_attributes() -> SFTPAttrs:
    return SFTPAttrs(
        type=asyncssh.FILEXFER_TYPE_DIRECTORY, size=0, uid=0, gid=0, permissions=0o040755, atime=0, mtime=0
    )


def file_attributes(record: dict[str, Any]) -> SFTPAttrs:
    at = int(datetime.fromisoformat(record["last_modified"].replace("Z", "+00:00")).timestamp())
    return SFTPAttrs(
        type=asyncssh.FILEXFER_TYPE_REGULAR,
        size=record["size"],
        uid=0,
        gid=0,
        permissions=0o100644,
        atime=at,
        mtime=at,
    )
