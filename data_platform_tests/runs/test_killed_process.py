"""Runs of a code server that was killed with all that belongs to it, as a container's processes are."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from data_platform_tests.code.origin import DEFINITIONS, Origin
from data_platform_tests.code.running import running, start
from data_platform_tests.code.test_code_server import launch

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]

# The tiny platform, with the real one's executor.
EXECUTOR = f"""
sys.modules.pop("data_platform")
sys.path.insert(0, {str(ROOT)!r})
from data_platform.runs.executor import run_executor
from data_platform.environment import settings
defs = dg.Definitions.merge(
    defs, dg.Definitions(executor=run_executor(settings().model_copy(update={{"runs_on": "process"}})))
)
"""


def test_a_run_has_failed_once_its_process_was_killed_and_not_before(tmp_path: Path) -> None:
    origin = Origin.at(tmp_path / "git")
    code = DEFINITIONS.format(version="one").replace("import os\n", "import os\nimport sys\n")
    code = code.replace(", executor=dg.in_process_executor", "") + EXECUTOR
    commit = origin.push_code("one", extra={"data_platform/definitions.py": code})
    first = start(tmp_path, origin.bare)
    first.wait_served(commit)
    launch(tmp_path, first.port)
    first.until(lambda: (tmp_path / "seen").exists())
    first.stop(signal.SIGKILL)
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:

        def status() -> str:
            (run,) = instance.get_runs()
            return run.status.value

        second = start(tmp_path, origin.bare)
        second.wait_served(commit)
        time.sleep(12)  # two looks
        assert status() == "STARTED", "its process lives, as the killed server's backend does"
        kill_all_of(tmp_path)
        second.process.wait()
        assert status() == "STARTED"
        with running(tmp_path, origin.bare) as third:
            third.until(lambda: status() == "FAILURE")
            assert third.state()["serving"], "Dagster's retry asks for the code"
            third.until(lambda: "was killed; reported it as failed" in third.log.read_text())


def kill_all_of(folder: Path) -> None:
    """Kills every process whose state is kept in `folder`."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.environ().get("DATA_PLATFORM_STATE_DIR", "").startswith(str(folder)):
                os.kill(process.pid, signal.SIGKILL)
