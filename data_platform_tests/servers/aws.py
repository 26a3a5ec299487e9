"""The local cloud's AWS alone, with every service that it has, for tests of what is deployed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from data_platform.local_cloud import processes
from data_platform.local_cloud.aws import REGION, part
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform_tests.servers.ports import own_port


@contextmanager
def running_aws(state_dir: Path, account: str) -> Iterator[Callable[[str], Any]]:
    """A server that runs in the block: gives boto3's clients of an account, by service."""
    layout, port = Layout.at(state_dir), own_port()
    server = part(layout, port, own_port())
    server = replace(server, environment={**server.environment, "SERVICES": "", "PERSIST_STATE": "0"})
    for folder in (layout.home, layout.data(server.name), layout.record(server.name).parent):
        folder.mkdir(parents=True, exist_ok=True)
    record = processes.start(server, layout)
    session = boto3.Session(aws_access_key_id=account, aws_secret_access_key="any", region_name=REGION)
    try:
        processes.wait_until_ready(server, record, seconds=60)
        yield lambda service: session.client(service, endpoint_url=f"http://{LOOPBACK}:{port}")  # type: ignore[call-overload]
    finally:
        process = record.process()
        if process is not None:
            processes.stop(process, first=server.stop_signal)
