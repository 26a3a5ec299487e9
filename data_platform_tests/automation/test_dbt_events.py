"""A dbt process that is read, stopped with its run, or ended because it hangs. A program takes dbt's place; everything
else is dagster-dbt's."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dagster_dbt import DagsterDbtTranslator, DbtCliInvocation
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version

from data_platform.automation import dbt_events
from data_platform.automation.dbt_events import DbtSilent, events_of
from data_platform_tests.end_to_end.platform import patience

LOG = logging.getLogger(__name__)
SLEEPS = "import time; print('building', flush=True); time.sleep(600)"
STOPPED = """
import os, signal, sys, threading, time
from pathlib import Path
from data_platform_tests.automation.test_dbt_events import LOG, invocation, no_session
from data_platform.automation.dbt_events import events_of

folder = Path(sys.argv[1])
builds = f"from pathlib import Path; import time; Path({str(folder / 'builds')!r}).touch(); time.sleep(600)"
dbt = invocation(builds, folder)
(folder / "pid").write_text(str(dbt.process.pid))

def stop():
    while not (folder / "builds").exists():
        time.sleep(0.05)
    time.sleep(0.5)  # by now this thread's elder waits for what dbt says
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=stop).start()
try:
    for _ in events_of(dbt, LOG, no_session):
        pass
except KeyboardInterrupt:
    (folder / "stopped").touch()
"""


def no_session() -> Any:
    """In the place of what opens a Snowflake session, where nothing is built."""
    raise AssertionError("nothing was built")


def invocation(program: str, folder: Path) -> DbtCliInvocation:
    """What `dbt.cli(...)` returns, of a program in dbt's place."""
    return DbtCliInvocation.run(
        args=[sys.executable, "-c", program],
        env=dict(os.environ),
        manifest={"metadata": {}},
        dagster_dbt_translator=DagsterDbtTranslator(),
        project_dir=folder,
        target_path=folder / "target",
        raise_on_error=True,
        context=None,
        adapter=None,
        cli_version=Version("1.11"),
    )


def test_a_run_that_is_stopped_ends_and_so_does_dbt(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOPPED, str(tmp_path)], capture_output=True, text=True
    )
    assert (tmp_path / "stopped").exists(), done.stderr
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_dbt_that_says_nothing_any_more_is_ended(tmp_path: Path) -> None:
    dbt = invocation(SLEEPS, tmp_path)
    began = time.monotonic()
    with pytest.raises(DbtSilent, match=r"wrote nothing for \d+ s, so the run stopped it; see .*dbt\.log"):
        list(events_of(dbt, LOG, no_session, silent_seconds=1.5))
    assert dbt.process.poll() is not None
    assert time.monotonic() - began < patience(30)


def test_one_that_writes_to_its_log_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dbt_events, "WARN_SECONDS", 0.5)
    program = """
import time
from pathlib import Path
log = Path("target/dbt.log")
log.parent.mkdir()
for _ in range(30):
    time.sleep(0.1)
    log.write_text("at work")
time.sleep(3)
"""
    assert list(events_of(invocation(program, tmp_path), LOG, no_session, silent_seconds=20)) == []
    assert "dbt has written nothing for" in caplog.text


def test_a_dbt_that_fails_raises_what_dagster_dbt_does(tmp_path: Path) -> None:
    with pytest.raises(DagsterDbtCliRuntimeError, match="exit code `3`"):
        list(events_of(invocation("raise SystemExit(3)", tmp_path), LOG, no_session))
