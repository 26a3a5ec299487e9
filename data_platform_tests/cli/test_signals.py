"""What ends a command that works for long, also where a script has it ignore Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WORKS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN if "nohup" in sys.argv else signal.SIG_DFL)
from data_platform.cli.signals import end_as_by_ctrl_c
end_as_by_ctrl_c()
try:
    print("works", flush=True)
    time.sleep(3 if "nohup" in sys.argv else 600)
    print("came to its end", flush=True)
except KeyboardInterrupt:
    print("frees what it holds", flush=True)
"""


def told(sign: signal.Signals, *arguments: str) -> str:
    """What a command prints after the signal."""
    command = [sys.executable, "-c", WORKS, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "works\n"
        process.send_signal(sign)
        return process.communicate(timeout=60)[0].strip()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_it_free_what_it_holds(sign: signal.Signals) -> None:
    assert told(sign) == "frees what it holds"


def test_nohup_is_heeded() -> None:
    assert told(signal.SIGHUP, "nohup") == "came to its end"
