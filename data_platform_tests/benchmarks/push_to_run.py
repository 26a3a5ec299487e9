"""From `git push` to the first run on the new code: a code server follows a branch, and the run is a task of the local
ECS. The alternative, building and deploying an image, is not measured, because that needs a Docker engine. On Fargate a
task's own start takes about half a minute more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from data_platform_tests.benchmarks.runner import result
from data_platform_tests.end_to_end import graphql

PUSHES, SECONDS = 3, 30.0
ASSET = '{path: ["raw", "harbor_water", "meter_readings"]}'
DESCRIPTION = "{assetNodes(assetKeys: [" + ASSET + "]) {description}}"
RUN = """query($run: ID!) {runOrError(runId: $run) {... on Run {status startTime}}}"""


def once(repository: Any, dev: Any, number: int) -> dict[str, float]:
    """One push: the seconds until the UI shows the new code, and until its first run has begun."""
    described = f"As of push {number}."
    _, pushed = repository.push(described)
    _until(lambda: described in json.dumps(dev.graphql(DESCRIPTION)))
    shown = time.time() - pushed.timestamp()
    path = ["raw", "harbor_water", "meter_readings"]
    run_id = graphql.launch(dev.url, "data_platform", graphql.ASSET_JOB, [path], {"dagster/partition": "2026-06-01"})

    def begun() -> float:
        return float(dev.graphql(RUN, run=run_id)["runOrError"]["startTime"] or 0)

    return {"shown": shown, "begun": _until(begun) - pushed.timestamp()}


def _until(look: Callable[[], Any], seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("the expected result is missing")
        time.sleep(0.2)
    return found


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Some pushes of the platform's own code, on their own local cloud."""
    from data_platform_tests.end_to_end.dev_server import DevServer
    from data_platform_tests.end_to_end.platform import Platform
    from data_platform_tests.end_to_end.test_deploys import CodeRepository
    from data_platform_tests.servers.local_cloud import private_cloud

    folder = Path(options["folder"])
    folder.chmod(0o755)  # PostgreSQL is another user
    repository = CodeRepository(folder)
    repository.push("As it was at first.")
    cloud = private_cloud(folder / "cloud", runs_on="ecs")
    try:
        platform = Platform.on(cloud.up())
        platform.command("data-platform", "schema", "apply", "--yes")
        dev = DevServer.start(platform, folder / "dev.log", "--git", str(repository.url), "--ref", "main")
        try:
            dev.wait_until_ready()
            found = [once(repository, dev, number) for number in range(1 if options.get("quick") else PUSHES)]
        finally:
            dev.stop()
    finally:
        cloud.down()
    begun, shown = (median(one[name] for one in found) for name in ("begun", "shown"))
    return result(
        "push_to_run",
        f"From a push to the first run on the new code, a task of the local ECS (median of {len(found)})",
        ours=f"{begun:.1f} s; the UI shows it after {shown:.1f} s",
        peer="not measured: an image's build and roll-out takes 10-15 minutes",
        ratio=None,
        peak_mb=None,
        target=f"<= {SECONDS:.0f} s",
        met=begun <= SECONDS,
        measured={"pushes": found, "at": datetime.now().astimezone().isoformat()},
    )
