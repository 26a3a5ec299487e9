"""What a partner may see and do over SFTP: its two folders and the policy of its sessions, as AWS Transfer takes them.
Plain data; the local cloud's provisioning and the AWS stacks use it."""

from __future__ import annotations

from typing import Any


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
