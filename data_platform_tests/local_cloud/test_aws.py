"""The AWS part as the supervisor sees it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_platform.local_cloud.aws import http_ready
from data_platform.local_cloud.processes import PartNotReady


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", id="cut off"),
        pytest.param(b"SSH-2.0-x\r\n", id="another protocol's"),
        pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", id="an error"),
        pytest.param(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"', id="half of one"),
    ],
)
def test_a_part_that_gives_no_sound_answer_is_not_ready(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(_answer_once, listening, answer)
        with pytest.raises(PartNotReady):
            http_ready(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        answered.result()


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    asking, _ = listening.accept()
    with asking:
        asking.recv(4096)
        asking.sendall(answer)
