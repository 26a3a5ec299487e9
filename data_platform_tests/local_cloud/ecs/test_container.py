"""A container as its server sees it, without a server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from data_platform.local_cloud.ecs.container import NAME_LABEL, TASK_LABEL, Container
from data_platform_tests.end_to_end.platform import wait_for

OUTLIVED = """
import subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(left.pid, flush=True)
time.sleep(300)
"""


def test_the_end_of_a_container_is_seen_although_an_order_came_too_late_for_it(tmp_path: Path) -> None:
    ended, log = threading.Event(), tmp_path / "log"
    labels = {TASK_LABEL: "task", NAME_LABEL: "run"}
    container = Container([sys.executable, "-c", OUTLIVED], {}, str(tmp_path), labels, log, ended.set)
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"), 30, "it is up", every=0.02)
    os.kill(container.pid, signal.SIGKILL)
    wait_for(lambda: container.headless, 30, "its first process is gone", every=0.02)
    container.terminate()
    os.kill(int(log.read_text()), signal.SIGKILL)
    assert ended.wait(60)
    assert container.exit_code == 137
