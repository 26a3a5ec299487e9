"""A dbt process that is read, stopped with its run, or ended because it hangs. A program takes dbt's place; everything
else is dagster-dbt's."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
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
from data_platform_tests.end_to_end.platform import patience, wait_for

LOG = logging.getLogger(__name__)
SLEEPS = "import time; print('building', flush=True); time.sleep(600)"


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


def _runs_dbt(folder: Path) -> None:
    """A run whose dbt builds for ever. Exits with 1 once it is stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    dbt = invocation(f"from pathlib import Path; Path({str(folder / 'builds')!r}).touch(); {SLEEPS}", folder)
    (folder / "pid").write_text(str(dbt.process.pid))
    try:
        list(events_of(dbt, LOG, no_session))
    except KeyboardInterrupt:
        os._exit(1)


def test_a_run_that_is_stopped_ends_and_so_does_dbt(tmp_path: Path) -> None:
    run = multiprocessing.get_context("fork").Process(target=_runs_dbt, args=(tmp_path,))
    run.start()
    wait_for((tmp_path / "builds").exists, 60, "dbt builds", every=0.02)
    time.sleep(0.5)  # by now the run waits for dbt's output
    assert run.pid
    os.kill(run.pid, signal.SIGINT)
    run.join(60)
    assert run.exitcode == 1
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
for _ in range(10):
    time.sleep(0.1)
    log.write_text("at work")
time.sleep(2)
"""
    assert list(events_of(invocation(program, tmp_path), LOG, no_session, silent_seconds=20)) == []
    assert "dbt has written nothing for" in caplog.text


def test_a_dbt_that_fails_raises_what_dagster_dbt_does(tmp_path: Path) -> None:
    with pytest.raises(DagsterDbtCliRuntimeError, match="exit code `3`"):
        list(events_of(invocation("raise SystemExit(3)", tmp_path), LOG, no_session))
