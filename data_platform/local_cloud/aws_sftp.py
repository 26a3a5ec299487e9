"""A partner's SFTP session: AWS Transfer's file system, on S3's own operations, in place of ministack's session class.

Follows what AWS Transfer Family documents for S3: logical home folders, session policies, renaming by copy and delete,
no renamed folders, no links, no appends. An upload that a lost connection cuts off is stored as far as it came, and
deleted at once by the server's workflow for partial uploads (docs/partners.md). ministack signs partners in;
`aws_folders` maps paths.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import asyncssh
from asyncssh.sftp import SFTPAttrs, SFTPName, SFTPServerHandler

from data_platform.local_cloud.aws_folders import PartnerFolders, file_attributes, folder_attributes

SPOOLED = 8_000_000
"""Bytes of an upload in memory; a larger one moves to a temporary file."""


@dataclass
class Upload:
    """A file being written. Closing it creates the object."""

    bucket: str
    key: str
    content: Any


@dataclass(frozen=True)
class Download:
    """A file being read: the bytes of the version that was current when it was opened."""

    body: bytes
    attributes: SFTPAttrs


def install(transfer: Any, s3: Any) -> None:
    """Make ministack's SFTP listener serve PartnerFiles."""
    transfer._ensure_sftp_runtime()

    class Files(PartnerFiles):
        def __init__(self, channel: Any, restrict_to_server_id: str | None = None) -> None:
            super().__init__(channel, transfer, s3)

    class Handler(SFTPServerHandler):
        async def _cleanup(self, exc: Exception | None) -> None:
            """The client is gone: what asyncssh closes from now on was open."""
            if isinstance(self._server, PartnerFiles):
                self._server.disconnected = True
            await super()._cleanup(exc)

    transfer._MiniStackSFTPServer = Files
    asyncssh.sftp.SFTPServerHandler = Handler  # type: ignore[misc]


class PartnerFiles(asyncssh.SFTPServer):
    """One session's file system."""

    def __init__(self, channel: Any, transfer: Any, s3: Any) -> None:
        super().__init__(channel)
        self.disconnected = False
        self._folders = PartnerFolders(channel.get_connection(), transfer, s3)

    # Folders

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        for name, attributes in self._folders.names(path).items():
            yield SFTPName(name.encode(), attrs=attributes)

    def realpath(self, path: bytes) -> bytes:
        return self._folders.path(path).encode()

    def stat(self, path: bytes) -> SFTPAttrs:
        return self._folders.attributes(path)

    def lstat(self, path: bytes) -> SFTPAttrs:
        return self._folders.attributes(path)

    def fstat(self, file_obj: object) -> SFTPAttrs:
        if isinstance(file_obj, Download):
            return file_obj.attributes
        assert isinstance(file_obj, Upload)
        attributes = folder_attributes()
        attributes.type, attributes.permissions = asyncssh.FILEXFER_TYPE_REGULAR, 0o100644
        file_obj.content.seek(0, 2)
        attributes.size = file_obj.content.tell()
        return attributes

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """A folder is an empty object whose key ends in a slash, as AWS Transfer makes it."""
        bucket, key = self._folders.object_target(path)
        self._folders.require("s3:PutObject", bucket, key + "/")
        self._folders.call("PUT", bucket, key + "/", {})

    def rmdir(self, path: bytes) -> None:
        bucket, key = self._folders.object_target(path)
        self._folders.require("s3:DeleteObject", bucket, key + "/")
        keys, folders = self._folders.page(bucket, key + "/", 2)
        if folders or keys != [key + "/"]:
            raise asyncssh.SFTPFailure("The folder doesn't exist or is not empty")
        self._folders.call("DELETE", bucket, key + "/", {})

    # Files

    def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        bucket, key = self._folders.object_target(path)
        existing = self._folders.objects(bucket).get(key)
        if not pflags & asyncssh.FXF_WRITE:
            self._folders.require("s3:GetObject", bucket, key)
            if existing is None:
                raise asyncssh.SFTPNoSuchFile(f"No such file: {self._folders.path(path)}")
            return Download(self._folders.call("GET", bucket, key, {}), file_attributes(existing))
        self._folders.require("s3:PutObject", bucket, key)
        if pflags & asyncssh.FXF_APPEND or (existing is not None and not pflags & asyncssh.FXF_TRUNC):
            raise asyncssh.SFTPOpUnsupported("Files in S3 cannot be appended to or resumed; send all of it")
        if existing is None and not pflags & asyncssh.FXF_CREAT:
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self._folders.path(path)}")
        if existing is not None and pflags & asyncssh.FXF_EXCL:
            raise asyncssh.SFTPFailure(f"File exists: {self._folders.path(path)}")
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
        """asyncssh calls it, too, for each open file when the client is gone: a partial upload, on which AWS Transfer
        starts the server's workflow (`OnPartialUpload`), whose one step deletes the file."""
        if isinstance(file_obj, Upload):
            with file_obj.content as content:
                content.seek(0)
                headers = {"content-type": "application/octet-stream"}
                self._folders.call("PUT", file_obj.bucket, file_obj.key, headers, content.read())
            if self.disconnected:
                self._folders.call("DELETE", file_obj.bucket, file_obj.key, {})

    def remove(self, path: bytes) -> None:
        bucket, key = self._folders.object_target(path)
        self._folders.require("s3:DeleteObject", bucket, key)
        if key not in self._folders.objects(bucket):
            raise asyncssh.SFTPNoSuchFile(f"No such file: {self._folders.path(path)}")
        self._folders.call("DELETE", bucket, key, {})

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        bucket, key = self._folders.object_target(newpath)
        if key in self._folders.objects(bucket):
            raise asyncssh.SFTPFailure(f"File exists: {self._folders.path(newpath)}")
        self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Copy, then delete, because S3 has no rename: another client may briefly see both."""
        (bucket, key), (new_bucket, new_key) = (
            self._folders.object_target(oldpath),
            self._folders.object_target(newpath),
        )
        for action in ("s3:GetObject", "s3:DeleteObject"):
            self._folders.require(action, bucket, key)
        self._folders.require("s3:PutObject", new_bucket, new_key)
        if key not in self._folders.objects(bucket):
            raise asyncssh.SFTPNoSuchFile(f"No such file, or a folder: {self._folders.path(oldpath)}")
        if (bucket, key) != (new_bucket, new_key):
            self._folders.call("PUT", new_bucket, new_key, {"x-amz-copy-source": quote(f"/{bucket}/{key}")})
            self._folders.call("DELETE", bucket, key, {})

    # What S3 cannot do. SetStat is ignored, as with AWS Transfer's ENABLE_NO_OP, so that `put -p` works.

    def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        return None

    lsetstat = setstat

    def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        return None

    def fsync(self, file_obj: object) -> None:
        return None

    def format_user(self, uid: int | None) -> str:
        return "partner"  # not the user of this machine with that id

    def format_group(self, gid: int | None) -> str:
        return "partner"

    def _unsupported(self, *_: object) -> Any:
        raise asyncssh.SFTPOpUnsupported("Not supported for files in S3")

    # The base class would answer these from this machine's file system.
    open56 = statvfs = fstatvfs = link = symlink = readlink = lock = unlock = _unsupported  # type: ignore[assignment]
