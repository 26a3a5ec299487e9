"""The AWS part: how to start `aws_server`, and when it is ready."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform.local_cloud.processes import Part, PartNotReady

NAME = "aws"
REGION = "us-east-1"
CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "LOCALCLOUD",
    "AWS_SECRET_ACCESS_KEY": "local-cloud-only",
}
"""No real AWS account has them: a client that reaches the real AWS by mistake is refused."""

SERVICES = (
    *("s3", "sts", "iam", "kms", "ssm", "secretsmanager", "transfer", "sns", "sqs"),
    *("ecs", "ecs-metadata", "imds", "ec2", "ecr", "logs", "monitoring", "events", "tagging"),
)

BODY_WRITTEN, FACTS_WRITTEN = ".tmp", ".meta.json.tmp"
"""Suffixes of an object's two files, its bytes and its metadata, until both are written."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def part(layout: Layout, port: int, sftp_port: int) -> Part:
    """S3, SFTP, SSM, Secrets Manager and the rest of AWS on loopback, with its state below the state directory."""
    data = layout.data(NAME)
    return Part(
        name=NAME,
        command=(
            sys.executable,
            "-m",
            "data_platform.local_cloud.aws_server",
            *("--port", str(port)),
            *("--state", str(layout.root)),
            *("--data", str(data)),
        ),
        environment={
            **CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "MINISTACK_REGION": REGION,
            "GATEWAY_PORT": str(port),
            "BIND_HOST": LOOPBACK,
            "SFTP_HOST": LOOPBACK,
            "SFTP_PORT": str(sftp_port),
            "SERVICES": ",".join(SERVICES),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(data / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(data / "s3"),
            "LOG_LEVEL": "WARNING",
            "IOT_MTLS_ENABLED": "0",  # its listener would be on every interface
            # Otherwise it would remove containers of any Docker daemon it finds, another ministack's included.
            "DOCKER_HOST": f"unix://{data / 'no-docker.sock'}",
        },
        ports={NAME: port, "sftp": sftp_port},
        prepare=lambda: finish_writes(data / "s3"),
        ready=lambda: http_ready(f"http://{LOOPBACK}:{port}/_ministack/health"),
        serves=f"http://{LOOPBACK}:{port} (SFTP on {LOOPBACK}:{sftp_port})",
    )


def finish_writes(folder: Path) -> None:
    """Finish or undo the writes that a kill cut off, so that no object has the bytes of one version and the metadata of
    another. See `aws_server` for their order."""
    for path in sorted(folder.rglob(f"*{BODY_WRITTEN}")):
        if path.name.endswith(FACTS_WRITTEN) and path.is_file():
            stem = path.with_name(path.name.removesuffix(FACTS_WRITTEN))
            if not stem.with_name(stem.name + BODY_WRITTEN).exists():
                path.replace(stem.with_name(stem.name + ".meta.json"))
    for path in folder.rglob(f"*{BODY_WRITTEN}"):
        if path.is_file():
            path.unlink()


def http_ready(url: str) -> None:
    """Raise PartNotReady unless a GET of the URL returns 200."""
    try:
        with _direct.open(url, timeout=2) as answer:
            body = answer.read()
        if body.startswith(b"{"):
            json.loads(body)
    except (OSError, HTTPException, ValueError) as error:  # HTTPException: it ended while it answered
        raise PartNotReady(str(error)) from None
