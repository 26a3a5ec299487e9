"""The whole path from SFTP to marts: `data-platform run`, which checks its own counts, on its own local cloud.

There is no peer and no target. The figures include the stand-ins for S3, SFTP and Snowflake on the same machine. The
peak is that of the process that executes the runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from data_platform_tests.benchmarks.runner import ROOT, SideFailed, result
from data_platform_tests.servers.local_cloud import private_cloud


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `quick`."""
    size = "150" if options.get("quick") else "large"
    state = Path(options["folder"]) / "whole"
    cloud = private_cloud(state)
    try:
        environment = {**os.environ, **cloud.up(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-c", "from data_platform.cli import main; main()", "run", "--size", size]
        began = time.perf_counter()
        with (state / "run.out").open("w+") as output:
            child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - began
            output.seek(0)
            text = output.read()
    finally:
        cloud.down()
    if child.returncode not in (0, 3):
        raise SideFailed(f"data-platform run --size {size}:\n{text[-3000:]}")
    return result(
        "whole_path",
        f"data-platform run --size {size}: demo files, SFTP, landing, tables, models, checks",
        ours=f"{seconds:.0f} s",
        peer="",
        ratio=None,
        peak_mb=usage.ru_maxrss / 1000,
        target="",
        met=child.returncode == 0,
        measured={"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "says": _last_lines(text)},
    )


def _last_lines(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line.rstrip() for line in plain.splitlines() if line.strip()][-30:]
