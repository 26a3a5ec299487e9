"""Backends that a killed code server left behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from data_platform.code.backend import end_left_behind

NOBODY = 2**22 + 1
"""Higher than any process id of Linux."""


class Busy(grpc.GenericRpcHandler):
    """Has taken each call, and answers none before `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def service(self, details: Any) -> Any:
        def one(request: bytes, context: Any) -> bytes:
            self.go.wait(120)
            return b""

        return grpc.unary_unary_rpc_method_handler(one)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    handler = Busy()
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(handler,))
    path = tmp_path / f"{NOBODY}-1.sock"
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield path
    handler.go.set()
    server.stop(0).wait()


def test_one_that_is_too_busy_to_be_told_to_end_is_told_again(busy: Path) -> None:
    end_left_behind(busy.parent)
    assert busy.exists()


def test_the_socket_of_one_that_is_gone_goes_too(tmp_path: Path) -> None:
    path = tmp_path / f"{NOBODY}-1.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    end_left_behind(tmp_path)
    assert not path.exists()
