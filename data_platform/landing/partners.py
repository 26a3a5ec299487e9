"""Partners, as declared in `defs/sources/partners/<partner>/defs.yaml`, and the access of each.

The local cloud's provisioning and the AWS stacks make SFTP users of them. Plain YAML and plain data; no Dagster, no
connections. `feed.py` has the rules of their files.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMPONENT = "data_platform.components.SftpPartner"

KEY_TYPES = frozenset(("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"))
"""What AWS Transfer Family accepts for a service-managed user."""

_NAME = re.compile(r"[a-z][a-z0-9_]{2,62}")


class PartnerDeclarationError(Exception):
    """A partner's `defs.yaml` cannot be used; the message names the file, what is wrong and what is
    expected."""


@dataclass(frozen=True)
class PartnerAccess:
    """A partner's name, which is its SFTP user name and its source's name, and its OpenSSH public key
    lines."""

    name: str
    public_keys: tuple[str, ...]


def partner_declarations(defs_dir: Path) -> tuple[PartnerAccess, ...]:
    """Every partner declared below `defs_dir` (the package's `defs` folder), by name.

    A partner's name is its folder's. Raises PartnerDeclarationError for a file that cannot be used.
    """
    paths = sorted(defs_dir.glob("sources/partners/*/defs.yaml"))
    return tuple(access for path in paths if (access := _declared_in(path)) is not None)


def home_directory_mappings(landing_bucket: str, partner: str) -> list[dict[str, str]]:
    """The only two folders a partner sees, as AWS Transfer's logical HomeDirectoryMappings."""
    return [
        {"Entry": f"/{folder}", "Target": f"/{landing_bucket}/{folder}/{partner}"} for folder in ("inbound", "receipts")
    ]


def session_policy(landing_bucket: str, partner: str) -> dict[str, Any]:
    """The IAM session policy of a partner's sessions; AWS allows what it and the user's role both allow.

    Deleting is allowed in `inbound`, as SFTP clients upload under another name and rename, which S3 does by
    copy and delete. The bucket keeps versions, and deleting a version is not allowed: nothing that came is
    lost.
    """
    bucket = f"arn:aws:s3:::{landing_bucket}"
    prefixes = [f"{folder}/{partner}" for folder in ("inbound", "receipts")]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ListOwnFolders",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": bucket,
                "Condition": {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}},
            },
            {
                "Sid": "DeliverIntoInbound",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": f"{bucket}/{prefixes[0]}/*",
            },
            {
                "Sid": "ReadReceipts",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"{bucket}/{prefixes[1]}/*",
            },
        ],
    }


def _declared_in(path: Path) -> PartnerAccess | None:
    """The partner of a `defs.yaml`; None if the file declares something else."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise PartnerDeclarationError(f"{path}: not YAML: {error}") from None
    for document in documents:
        if isinstance(document, dict) and document.get("type") == COMPONENT:
            return _access(path, document.get("attributes"))
    return None


def _access(path: Path, attributes: Any) -> PartnerAccess:
    name = path.parent.name
    if not _NAME.fullmatch(name):
        raise PartnerDeclarationError(
            f"{path}: the folder's name is the partner's name, and {name!r} can't be one; expected 3 to 63 lower-case"
            " letters, digits and _, a letter first, for example harbor_water"
        )
    lines = (attributes.get("public_keys") or []) if isinstance(attributes, dict) else []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise PartnerDeclarationError(f"{path}: attributes.public_keys: expected a list of OpenSSH public key lines")
    return PartnerAccess(name, tuple(_checked_key(path, line) for line in lines))


def _checked_key(path: Path, line: str) -> str:
    """The line without surrounding blanks. Raises for anything but a public key AWS Transfer would take."""
    words = line.split()
    if len(words) >= 2 and words[0] in KEY_TYPES:
        try:
            blob = base64.b64decode(words[1], validate=True)
        except binascii.Error:
            blob = b""
        kind = words[0].encode()
        if blob.startswith(len(kind).to_bytes(4, "big") + kind) and len(blob) > len(kind) + 8:
            return line.strip()
    shown = "a PRIVATE key: remove it and make a new one" if "PRIVATE" in line else repr(line[:40])
    raise PartnerDeclarationError(
        f"{path}: attributes.public_keys has {shown}; expected a line such as `ssh-ed25519 AAAA… name`,"
        f" of one of {', '.join(sorted(KEY_TYPES))}"
    )
