"""Runs whose process is gone, and those that only look so."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from data_platform.cli import abandoned as abandoned_runs
from data_platform.cli.abandoned import report_abandoned

RUN = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def address() -> Iterator[str]:
    """A path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="dp-") as folder:
        yield f"{folder}/code.sock"


def abandoned(address: str, folder: Path) -> list[str]:
    """What is reported where one run was given to the code server of that socket."""
    tags = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": address})}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN, status=dg.DagsterRunStatus.STARTED, tags=tags))
        return report_abandoned(instance, folder)


def test_a_run_of_a_code_server_that_is_gone_has_failed(address: str, tmp_path: Path) -> None:
    assert abandoned(address, tmp_path) == [RUN]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
    assert abandoned(address, tmp_path) == [RUN], "of one that was killed the file is left"


def test_a_run_of_a_code_server_that_many_are_calling_goes_on(address: str, tmp_path: Path) -> None:
    with ExitStack() as calls:
        listening = calls.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(address)
        listening.listen(0)
        assert abandoned(address, tmp_path) == []
        while True:
            call = calls.enter_context(socket.socket(socket.AF_UNIX))
            call.setblocking(False)
            if call.connect_ex(address) != 0:
                break
        assert abandoned(address, tmp_path) == []


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN, status=dg.DagsterRunStatus.STARTED))

        def ends_and_lets_go(lock: Path) -> bool:
            success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "j")
            instance.report_dagster_event(success, RUN)
            return True

        monkeypatch.setattr(abandoned_runs, "_is_free", ends_and_lets_go)
        assert report_abandoned(instance, tmp_path) == []
        run = instance.get_run_by_id(RUN)
        assert run is not None and run.status == dg.DagsterRunStatus.SUCCESS
