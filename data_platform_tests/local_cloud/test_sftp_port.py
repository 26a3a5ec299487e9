"""Two local clouds that start at the same time: one gets the SFTP port, the other reports that it is taken."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import boto3
import botocore.exceptions
import pytest

from data_platform.local_cloud import aws
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK
from data_platform.local_cloud.processes import PartNotReady, hermetic_environment
from data_platform_tests.end_to_end.platform import patience, wait_for
from data_platform_tests.servers.ports import own_port

pytestmark = pytest.mark.server


def test_aws_without_its_sftp_port_ends_and_says_so(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        part = aws.part(layout, own_port(), taken)
        environment = hermetic_environment(layout, part.environment)
        with subprocess.Popen(part.command, env=environment, stdout=subprocess.PIPE, text=True) as process:

            def ready() -> bool:
                try:
                    part.ready()
                except PartNotReady:
                    return False
                return True

            wait_for(lambda: ready() or process.poll() is not None, 120, "it answers, or ends")
            transfer = boto3.client(
                "transfer",
                endpoint_url=f"http://{LOOPBACK}:{part.ports['aws']}",
                region_name=aws.REGION,
                aws_access_key_id="a",
                aws_secret_access_key="b",
            )
            with pytest.raises((botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)):
                transfer.create_server(Protocols=["SFTP"], Domain="S3")
            assert process.wait(patience(120)) == 1
            assert process.stdout is not None
            assert f"can't listen on port {taken}" in process.stdout.read()
