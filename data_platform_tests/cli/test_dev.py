"""`data-platform dev`: its port, its processes, and their output while the local cloud is down."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import psutil
import pytest

from data_platform.cli import dev
from data_platform.cli.dev_processes import DevProcesses
from data_platform.code.git import RefMissing
from data_platform.environment import settings
from data_platform.runs.at_work import dev_claim
from data_platform_tests.code.origin import Origin

RUNS_FOR_LONG = """
import signal, subprocess, sys, time
from contextlib import suppress
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell sets it for a background job
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup would have set to be ignored, for the tests too
from data_platform.cli.dev_processes import DevProcesses
from data_platform.cli.signals import end_as_by_ctrl_c
end_as_by_ctrl_c()
with DevProcesses({}, lambda: None) as processes, suppress(KeyboardInterrupt):
    processes.start(["sh", "-c", "echo works; exec sleep 600"])
    while processes.ended() is None:
        time.sleep(0.02)
"""


def test_a_taken_port_is_replaced_by_the_next_free_one_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = other.getsockname()[1]
        monkeypatch.setattr(dev, "PORT", taken)
        chosen = dev._free_port(None)
        assert chosen > taken
        assert f"Port {taken} is in use by another program; using {chosen}" in capsys.readouterr().err
        with pytest.raises(click.ClickException, match=f"Port {taken} is in use"):
            dev._free_port(taken)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it_also_in_the_background(sign: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", RUNS_FOR_LONG], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stderr.readline() == "works\n"
        process.send_signal(sign)
        try:
            assert process.wait(60) == 0
        finally:  # the child would hold the pipe open for minutes
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
                child.kill()
            process.kill()
        assert process.stderr.read() == "", "the child has ended too: nothing holds the pipe open"


def test_while_the_local_cloud_is_down_its_output_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    away = ["The local cloud is down."]
    program = "for _ in range(5000): print('could not connect')"
    with DevProcesses({}, lambda: away[0] if away else None) as processes:
        processes.look()
        processes.start([sys.executable, "-c", program])
        while processes.ended() is None:
            time.sleep(0.01)
        away.clear()
        processes.look()
    assert capsys.readouterr().err == "The local cloud is down.\nEverything answers again.\n"


def test_a_process_that_ends_by_itself_ends_the_command() -> None:
    with DevProcesses({}, lambda: None) as processes:
        processes.start([sys.executable, "-c", "raise SystemExit(3)"])
        while processes.ended() is None:
            time.sleep(0.01)
        assert processes.ended() == 3


def test_the_claim_lasts_as_long_as_dagsters_process_does(tmp_path: Path) -> None:
    with dev_claim(tmp_path) as claim:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[claim.fileno()])
    try:
        with pytest.raises(Exception, match="already running here"), dev_claim(tmp_path):
            pass
    finally:
        child.communicate(b"\n")
    with dev_claim(tmp_path):
        pass


def test_a_branch_that_the_repository_lacks_is_an_error(tmp_path: Path) -> None:
    origin = Origin.at(tmp_path / "git")
    origin.push_code("one")
    assert dev._code_options(settings(), str(origin.bare), "main") == ["--git", str(origin.bare), "--ref", "main"]
    with pytest.raises(RefMissing, match="nope"):
        dev._code_options(settings(), str(origin.bare), "nope")
