"""What a partner meets over SFTP: AWS Transfer's file system, kept in S3 through S3's own operations.

Takes the place of ministack's session class. It follows what AWS Transfer Family documents for S3: logical
home folders, session policies, files renamed by copy and delete, no folder renames, no links, no appends, and
a file cut off by a lost connection lands as what had come. Who a partner is, and by which keys, stays
ministack's.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import asyncssh
from asyncssh.sftp import SFTPAttrs, SFTPName
from ministack.core import iam_evaluator
from ministack.core.responses import request_scope

SPOOLED = 8_000_000
"""Bytes of one upload that are held in memory before a temporary file takes them."""


@dataclass
class Upload:
    """A file being written; it becomes an object, whole, when it is closed."""

    bucket: str
    key: str
    content: Any


@dataclass(frozen=True)
class Download:
    """A file being read: the bytes of the object's version at the time it was opened."""

    body: bytes
    attributes: SFTPAttrs


def install(transfer: Any, s3: Any) -> None:
    """Makes ministack's SFTP listener serve PartnerFiles."""
    transfer._ensure_sftp_runtime()

    class Files(PartnerFiles):
        def __init__(self, channel: Any, restrict_to_server_id: str | None = None) -> None:
            super().__init__(channel, transfer, s3)

    transfer._MiniStackSFTPServer = Files


class PartnerFiles(asyncssh.SFTPServer):
    """One session's view: the user's logical folders, each over a prefix of a bucket."""

    def __init__(self, channel: Any, transfer: Any, s3: Any) -> None:
        super().__init__(channel)
        connection = channel.get_connection()
        self._user: dict[str, Any] = connection.get_extra_info("ministack_user")
        self._account: str = connection.get_extra_info("ministack_account_id")
        self._region: str = connection.get_extra_info("ministack_region")
        self._transfer = transfer
        self._s3 = s3

    # Paths and permissions

    def _path(self, path: bytes) -> str:
        try:
            text = path.decode("utf-8")
        except UnicodeDecodeError:
            raise asyncssh.SFTPFailure("File names must be UTF-8") from None
        normal: str = self._transfer._sftp_normalize_virtual_path(text)
        return normal

    def _target(self, path: bytes) -> tuple[str, str]:
        """(bucket, key) of a path; the bucket is empty for a path above or beside the user's folders."""
        bucket, key = self._transfer._sftp_resolve_s3_target(self._user, self._path(path))
        return bucket, key

    def _object_target(self, path: bytes) -> tuple[str, str]:
        """(bucket, key) of a path that may hold a file. Raises if it is one of the folders, or above them."""
        bucket, key = self._target(path)
        if not bucket or not key or self._path(path) in self._entries():
            raise asyncssh.SFTPPermissionDenied(f"Access denied: {self._path(path)}")
        return bucket, key

    def _entries(self) -> list[str]:
        return [
            self._transfer._sftp_normalize_virtual_path(mapping.get("Entry", "/"))
            for mapping in self._user.get("HomeDirectoryMappings") or []
        ]

    def _require(self, action: str, bucket: str, key: str, *, prefix: str | None = None) -> None:
        """Raises unless the user's session policy allows the action; a user without one has its role's
        rights, which the local cloud does not narrow."""
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

    @contextmanager
    def _scope(self) -> Iterator[None]:
        with request_scope(self._account, self._region):
            yield

    def _call(self, method: str, bucket: str, key: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        with self._scope():
            status, _, answer = self._s3._dispatch(method, bucket, key, headers, body, {})
        if status >= 300:
            raise asyncssh.SFTPFailure(f"S3 answered {status} to {method} of {key}")
        return bytes(answer or b"")

    def _objects(self, bucket: str) -> dict[str, Any]:
        with self._scope():
            found = self._s3._ensure_bucket(bucket)
        if found is None:
            raise asyncssh.SFTPNoSuchFile("No such bucket")
        objects: dict[str, Any] = found["objects"]
        return objects

    def _page(self, bucket: str, prefix: str, limit: int) -> tuple[list[str], list[str]]:
        keys, folders, _, _ = self._s3._collect_list_entries(self._objects(bucket), prefix, "/", limit, "")
        return keys, folders

    # Attributes and folders

    def _attributes(self, path: bytes) -> SFTPAttrs:
        bucket, key = self._target(path)
        if not bucket:
            if self._virtual_children(self._path(path)):
                return _folder()
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self._path(path)}")
        if self._path(path) in self._entries():
            return _folder()
        record = self._objects(bucket).get(key)
        if record is not None:
            return _file(record)
        prefix = key.rstrip("/") + "/"
        if any(self._page(bucket, prefix, 1)):
            return _folder()
        raise asyncssh.SFTPNoSuchFile(f"No such file: {self._path(path)}")

    def _virtual_children(self, folder: str) -> list[str]:
        """Names below a folder that exist only because a mapping's entry goes through it."""
        above = "/" if folder == "/" else folder + "/"
        below = [entry[len(above) :] for entry in self._entries() if entry.startswith(above)]
        return sorted({path.split("/")[0] for path in below if path})

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """A folder's names: `.`, `..`, then files and folders by name."""
        attributes = self._attributes(path)
        if attributes.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
            raise asyncssh.SFTPNoSuchFile(f"Not a folder: {self._path(path)}")
        found: dict[str, SFTPAttrs] = dict.fromkeys((".", ".."), _folder())
        found.update(dict.fromkeys(self._virtual_children(self._path(path)), _folder()))
        bucket, key = self._target(path)
        if bucket:
            prefix = key.rstrip("/") + "/" if key else ""
            self._require("s3:ListBucket", bucket, "", prefix=prefix)
            keys, folders = self._page(bucket, prefix, 2**31)
            objects = self._objects(bucket)
            found.update({f[len(prefix) : -1]: _folder() for f in folders})
            found.update({k[len(prefix) :]: _file(objects[k]) for k in keys if k != prefix})
        for name, attributes in found.items():
            yield SFTPName(name.encode(), attrs=attributes)

    def realpath(self, path: bytes) -> bytes:
        return self._path(path).encode()

    def stat(self, path: bytes) -> SFTPAttrs:
        return self._attributes(path)

    def lstat(self, path: bytes) -> SFTPAttrs:
        return self._attributes(path)

    def fstat(self, file_obj: object) -> SFTPAttrs:
        if isinstance(file_obj, Download):
            return file_obj.attributes
        assert isinstance(file_obj, Upload)
        attributes = _folder()
        attributes.type, attributes.permissions = asyncssh.FILEXFER_TYPE_REGULAR, 0o100644
        file_obj.content.seek(0, 2)
        attributes.size = file_obj.content.tell()
        return attributes

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """A folder is an empty object whose key ends in a slash, as AWS Transfer makes it."""
        bucket, key = self._object_target(path)
        self._require("s3:PutObject", bucket, key + "/")
        self._call("PUT", bucket, key + "/", {})

    def rmdir(self, path: bytes) -> None:
        bucket, key = self._object_target(path)
        self._require("s3:DeleteObject", bucket, key + "/")
        keys, folders = self._page(bucket, key + "/", 2)
        if folders or keys != [key + "/"]:
            raise asyncssh.SFTPFailure("The folder is not there, or not empty")
        self._call("DELETE", bucket, key + "/", {})

    # Files

    def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        bucket, key = self._object_target(path)
        existing = self._objects(bucket).get(key)
        if not pflags & asyncssh.FXF_WRITE:
            self._require("s3:GetObject", bucket, key)
            if existing is None:
                raise asyncssh.SFTPNoSuchFile(f"No such file: {self._path(path)}")
            return Download(self._call("GET", bucket, key, {}), _file(existing))
        self._require("s3:PutObject", bucket, key)
        if pflags & asyncssh.FXF_APPEND or (existing is not None and not pflags & asyncssh.FXF_TRUNC):
            raise asyncssh.SFTPOpUnsupported("Files in S3 cannot be appended to or resumed; send all of it")
        if existing is None and not pflags & asyncssh.FXF_CREAT:
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self._path(path)}")
        if existing is not None and pflags & asyncssh.FXF_EXCL:
            raise asyncssh.SFTPFailure(f"File exists: {self._path(path)}")
        return Upload(bucket, key, tempfile.SpooledTemporaryFile(max_size=SPOOLED))

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        if not isinstance(file_obj, Download):
            raise asyncssh.SFTPPermissionDenied("Not open for reading")
        return file_obj.body[offset : offset + size]

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if not isinstance(file_obj, Upload):
            raise asyncssh.SFTPPermissionDenied("Not open for writing")
        file_obj.content.seek(offset)
        return int(file_obj.content.write(data))

    def close(self, file_obj: object) -> None:
        """Also called by asyncssh for each open file when a connection is lost."""
        if isinstance(file_obj, Upload):
            with file_obj.content as content:
                content.seek(0)
                headers = {"content-type": "application/octet-stream"}
                self._call("PUT", file_obj.bucket, file_obj.key, headers, content.read())

    def remove(self, path: bytes) -> None:
        bucket, key = self._object_target(path)
        self._require("s3:DeleteObject", bucket, key)
        if key not in self._objects(bucket):
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self._path(path)}")
        self._call("DELETE", bucket, key, {})

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        bucket, key = self._object_target(newpath)
        if key in self._objects(bucket):
            raise asyncssh.SFTPFailure(f"File exists: {self._path(newpath)}")
        self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Copy, then delete: S3 has no rename, so that another client may see both for a moment."""
        (bucket, key), (new_bucket, new_key) = self._object_target(oldpath), self._object_target(newpath)
        for action in ("s3:GetObject", "s3:DeleteObject"):
            self._require(action, bucket, key)
        self._require("s3:PutObject", new_bucket, new_key)
        if key not in self._objects(bucket):
            raise asyncssh.SFTPNoSuchFile(f"No such file, or a folder: {self._path(oldpath)}")
        if (bucket, key) != (new_bucket, new_key):
            self._call("PUT", new_bucket, new_key, {"x-amz-copy-source": quote(f"/{bucket}/{key}")})
            self._call("DELETE", bucket, key, {})

    # What S3 cannot do. SetStat is ignored, as with AWS Transfer's ENABLE_NO_OP, so that `put -p` works.

    def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        return None

    lsetstat = setstat

    def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        return None

    def fsync(self, file_obj: object) -> None:
        return None

    def format_user(self, uid: int | None) -> str:
        return "partner"  # not the name of whoever has that number on this machine

    def format_group(self, gid: int | None) -> str:
        return "partner"

    def _unsupported(self, *_: object) -> Any:
        raise asyncssh.SFTPOpUnsupported("Not supported for files in S3")

    # The base class would answer these from this machine's own file system.
    open56 = statvfs = fstatvfs = link = symlink = readlink = lock = unlock = _unsupported  # type: ignore[assignment]


def _folder() -> SFTPAttrs:
    return SFTPAttrs(
        type=asyncssh.FILEXFER_TYPE_DIRECTORY, size=0, uid=0, gid=0, permissions=0o040755, atime=0, mtime=0
    )


def _file(record: dict[str, Any]) -> SFTPAttrs:
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
