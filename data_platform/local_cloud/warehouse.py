"""The Snowflake part: how to start `snowflake.server`, and when it is ready."""

from __future__ import annotations

import sys

from data_platform.local_cloud import aws, keys
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform.local_cloud.processes import Part

NAME = "snowflake"


def part(layout: Layout, port: int, aws_port: int) -> Part:
    """A Snowflake account on loopback that reads its external stages from the local S3."""
    _, public_key = keys.snowflake_key_pair(layout)
    return Part(
        name=NAME,
        command=(
            sys.executable,
            "-m",
            "data_platform.local_cloud.snowflake.server",
            *("--port", str(port)),
            *("--data", str(layout.data(NAME))),
            *("--s3-endpoint", f"http://{LOOPBACK}:{aws_port}"),
            *("--public-key-file", str(public_key)),
        ),
        environment={**aws.CREDENTIALS, "AWS_REGION": aws.REGION, "AWS_DEFAULT_REGION": aws.REGION},
        ports={NAME: port},
        ready=lambda: aws.http_ready(f"http://{LOOPBACK}:{port}/health"),
        serves=f"http://{LOOPBACK}:{port}",
    )
