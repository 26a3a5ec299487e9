"""The cost of `data-platform`'s commands, on a local cloud of their own: CPU seconds of the command with all its
processes, and of the local cloud meanwhile. The commands share one demo day: `first_run` makes it.

Each peer is the least that the same work can cost: dbt alone for a first run, importing Dagster for commands that read
its records or components, the Snowflake connector alone for a SELECT, and an empty project for `dg`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import psutil

from data_platform_tests.benchmarks.runner import ROOT, SideFailed, result
from data_platform_tests.servers.local_cloud import private_cloud

CLI = "from data_platform.cli import main; main()"
IMPORT_DAGSTER = "import dagster"
DG = "from dagster_dg_cli.cli import main; main()"
BARE_DG = """
import os, sys, tempfile
from pathlib import Path
from dagster_dg_cli.cli import main
from data_platform_tests.benchmarks.feeds import write_project
with tempfile.TemporaryDirectory() as folder:
    package = write_project(Path(folder), 0, 0)
    with (package.parent / "pyproject.toml").open("a") as project:
        project.write('[tool.dg.cli]\\nuse_component_modules = ["dagster"]\\n')
    (package / "definitions.py").write_text("import dagster as dg, dagster_dbt\\ndefs = dg.Definitions()\\n")
    sys.path.insert(0, folder)
    os.chdir(folder)
    sys.argv = ["dg", "check", "defs"]
    main()
"""
SELECT = """
from data_platform.cli.connector import import_connector
import_connector()
import snowflake.connector
from data_platform.environment import settings
from data_platform.warehouse.connection import connection_arguments
given = settings().require_endpoints()
arguments = {**connection_arguments(given), "private_key_file": str(given.snowflake.private_key_path)}
with snowflake.connector.connect(**arguments) as connection, connection.cursor() as cursor:
    cursor.execute(f"SELECT * FROM {given.snowflake.database}.PLATFORM.LOADS LIMIT 50").fetchall()
"""
LIST = """
import obstore
from obstore.store import S3Store
store = S3Store(bucket, endpoint=endpoint, access_key_id="x", secret_access_key="x", region="us-east-1",
                virtual_hosted_style_request=False, client_options={"allow_http": True})
print(sum(len(page) for page in obstore.list(store, "inbound/")))
"""
TIMES = 5
PENDING = 5_000


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a command with its children, and of the local cloud meanwhile; and wall seconds."""

    own: float
    cloud: float
    wall: float

    @property
    def cpu(self) -> float:
        return self.own + self.cloud

    def __str__(self) -> str:
        return f"{self.cpu:.1f} CPU s, {self.wall:.1f} s"


@dataclass(frozen=True)
class Day:
    """A local cloud with the demo's day loaded, and what loading it cost."""

    state: Path
    environment: Mapping[str, str]
    first_run: Cost

    def costs(self, *calls: tuple[str, ...], times: int = TIMES) -> list[Cost]:
        """The cheapest run of each Python program (code and arguments). The programs take turns, so that a busy minute
        of the machine costs each of them the same."""
        rounds = [[_once(self.state, self.environment, *call) for call in calls] for _ in range(times)]
        return [min(runs, key=lambda run: run.cpu) for runs in zip(*rounds, strict=True)]


_made = ExitStack()


def end_day() -> None:
    """Stops the day's local cloud and removes it, if there is one."""
    _made.close()


@cache
def day() -> Day:
    """The demo's day. `end_day` ends its local cloud."""
    folder = Path(_made.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-day-")))
    folder.chmod(0o755)  # PostgreSQL is another user
    state = folder / "cloud"
    cloud = private_cloud(state)
    _made.callback(cloud.down)
    environment = {**os.environ, **cloud.up(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return Day(state, environment, _once(state, environment, CLI, "run"))


def _once(state: Path, environment: Mapping[str, str], code: str, *arguments: str) -> Cost:
    cloud, own, began = _cpu_of_cloud(state), _cpu_of_children(), time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if ran.returncode:
        raise SideFailed(f"{' '.join(arguments) or code}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return Cost(_cpu_of_children() - own, _cpu_of_cloud(state) - cloud, wall)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of_cloud(state: Path) -> float:
    total = 0.0
    for process in psutil.process_iter(["cmdline"]):
        try:
            if str(state) in " ".join(process.info["cmdline"] or ()) or str(state) in process.environ().values():
                total += sum(process.cpu_times()[:4])  # of its ended children too
        except psutil.Error:  # it has ended, or is another user's
            continue
    return total


def first_run(options: dict[str, Any]) -> dict[str, Any]:
    """The first `data-platform run`. The peer is `dbt build` on the tables that it loads."""
    made = day()
    (dbt,) = made.costs((CLI, "dbt", "build"), times=1)
    found = _result(
        "first_run", "data-platform run, the demo's first day", made.first_run, "dbt build alone", dbt, 40, 30
    )
    serial = (
        " Before it come twelve landing runs, one after the other: one per day of data and wave. The second wave"
        " comes when the first is settled, and its files must be stable for 2 s."
    )
    return {**found, "floor": found["floor"] + serial}


def nothing_new(options: dict[str, Any]) -> dict[str, Any]:
    """`data-platform run` once more. The peer is `import dagster`, whose records it reads."""
    made = day()
    ours, bare = made.costs((CLI, "run"), (IMPORT_DAGSTER,))
    return _result("nothing_new", "data-platform run with nothing new", ours, "import dagster", bare, 6, 5)


def small(
    name: str, what: str, target: float, peer: str, bare_code: str, options: dict[str, Any], code: str = CLI
) -> dict[str, Any]:
    """A command that only reads."""
    ours, bare = day().costs((code, *what.split()[1:]), (bare_code,))
    return _result(name, what, ours, peer, bare, target, None)


def pending(options: dict[str, Any]) -> dict[str, Any]:
    """`data-platform deliveries pending` with thousands of files in inbound and no landing run at work. The peer is
    the Python that lists them and imports nothing of the platform's."""
    from data_platform.environment import Settings
    from data_platform.landing.client import open_landing_bucket

    made = day()
    settings = Settings.from_environment(dict(made.environment))
    bucket = open_landing_bucket(settings, settings.landing_bucket)
    hours = [datetime(2026, 3, 9) + timedelta(hours=at) for at in range(PENDING)]
    keys = [f"inbound/harbor_water/readings_{hour:%Y%m%dT%H}-0400.csv" for hour in hours]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put(key, b"{}"), keys))
    listing = f"bucket, endpoint = {settings.landing_bucket!r}, {settings.aws.endpoint_url!r}\n{LIST}"
    try:
        ours, bare = made.costs((CLI, "deliveries", "pending"), (listing,))
    finally:
        bucket.delete(*(bucket.current(key) for key in keys))
    ours, bare = replace(ours, cloud=0.0), replace(bare, cloud=0.0)
    what = f"data-platform deliveries pending, {PENDING:,} files"
    return _result("pending", what, ours, "obstore's listing", bare, 1, None)


def _result(
    name: str, what: str, ours: Cost, peer: str, bare: Cost, cpu: float, wall: float | None
) -> dict[str, Any]:  # fmt: skip
    return result(
        name,
        what,
        ours=str(ours),
        peer=f"{peer}: {bare}",
        ratio=bare.cpu / ours.cpu,
        peak_mb=None,
        target=f"<= {cpu:g} CPU s" + (f", <= {wall:g} s" if wall else ""),
        met=ours.cpu <= cpu and (wall is None or ours.wall <= wall),
        measured={"ours": vars(ours), "peer": vars(bare)},
        floor=f"{peer}, and nothing else: {bare}.",
    )


_SIGN_IN = ("the connector without pandas and botocore, its sign-in and a SELECT", SELECT)
COMMANDS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "first_run": first_run,
    "nothing_new": nothing_new,
    "deliveries_list": partial(small, "deliveries_list", "data-platform deliveries list", 0.5, *_SIGN_IN),
    "pending": pending,
    "check": partial(small, "check", "data-platform check", 0.8, "import dagster", IMPORT_DAGSTER),
    "dg_check_defs": partial(
        small, "dg_check_defs", "dg check defs", 4.0, "of an empty project with dagster-dbt", BARE_DG, code=DG
    ),
    "doctor": partial(small, "doctor", "data-platform doctor", 2.0, *_SIGN_IN),
}
