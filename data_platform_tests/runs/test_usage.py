"""What a run is said to have used is what it has used."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from data_platform.runs import usage
from data_platform.runs.usage import usage_metadata

HOLD = "x = bytearray(150 * 1024 * 1024); print(len(x), flush=True); input()"


def test_memory_of_a_child_counts_while_it_lives_and_when_it_has_ended() -> None:
    before = usage_metadata()
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    during = usage_metadata()
    child.communicate("\n")
    after = usage_metadata()
    for found in (during, after):
        assert found["process_peak_memory_mib"] >= 150
        assert found["process_cpu_seconds"] > before["process_cpu_seconds"]
    assert during["process_peak_memory_mib"] >= before["process_peak_memory_mib"]


def test_macos_reports_bytes_where_linux_reports_kibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_descendants", lambda pid: ())  # no /proc there, and no living children
    here = usage_metadata()["process_peak_memory_mib"]
    monkeypatch.setattr(usage, "sys", SimpleNamespace(platform="darwin"))
    assert usage_metadata()["process_peak_memory_mib"] < here / 100
