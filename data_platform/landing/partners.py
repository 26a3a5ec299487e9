"""What a partner may see and do over SFTP: its two folders and the policy of its sessions, as AWS Transfer takes them.
The local cloud's provisioning and the AWS stacks make users of it; a partner's removal deletes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_transfer import TransferClient


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


def servers_of(transfer: TransferClient, landing_bucket: str, partner: str) -> list[str]:
    """The ids of the Transfer servers that have the partner's user, with its folders in this bucket."""
    wanted: Any = home_directory_mappings(landing_bucket, partner)
    found = []
    for page in transfer.get_paginator("list_servers").paginate():
        for server in (each["ServerId"] for each in page["Servers"]):
            users = transfer.get_paginator("list_users").paginate(ServerId=server)
            if any(user["UserName"] == partner for part in users for user in part["Users"]):
                user = transfer.describe_user(ServerId=server, UserName=partner)["User"]
                if user.get("HomeDirectoryMappings") == wanted:
                    found.append(server)
    return found


def delete_users(transfer: TransferClient, servers: Iterable[str], partner: str) -> None:
    """Deletes the partner's user of these servers. Its keys go with it; one that is gone is no error."""
    for server in servers:
        try:
            transfer.delete_user(ServerId=server, UserName=partner)
        except transfer.exceptions.ResourceNotFoundException:
            continue
