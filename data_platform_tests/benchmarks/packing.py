"""How many tasks an hour of deliveries takes, and how long files wait: the sensor's packing against a task per file.

A file arrives every five seconds on average. A task takes COLD_START to start (an assumption for Fargate: placing it,
pulling the image, starting Python) and then FILE per file. Time is simulated; the sensor's own code requests the runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

from data_platform.automation.landing_history import History
from data_platform.automation.landing_sensor import TICK_SECONDS, requests
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import Pending
from data_platform.landing.sorting import Ready
from data_platform_tests.benchmarks.runner import result

HOUR, MEAN_GAP, COLD_START, FILE = 3600, 5.0, 45, 0.5
BEGAN = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = "2026-03-09"
FEWER, LONGER = 4.0, 2.0
"""Targets: this many times fewer tasks, and a median wait at most this many times as long."""

Ask = Callable[[Sequence[Ready], History, datetime], list[list[str]]]


def arrivals(seconds: float) -> list[float]:
    """When files arrive, in seconds, from a fixed seed."""
    chance, at, found = random.Random(20260309), 0.0, []
    while (at := at + chance.expovariate(1 / MEAN_GAP)) < seconds:
        found.append(at)
    return found


def packed(ready: Sequence[Ready], history: History, now: datetime) -> list[list[str]]:
    """The sensor's own requests."""
    asked = [request.run_config["ops"].values() for request in requests(ready, history, now, {"p/f": "p"})]
    return [[delivery["token"] for op in ops for delivery in op["config"]["deliveries"]] for ops in asked]


def each_tick(ready: Sequence[Ready], history: History, now: datetime) -> list[list[str]]:
    """One run for all files that are ready at a tick, even if another run is about to start."""
    return packed(ready, History(under_way=history.under_way), now)


def a_task_a_file(ready: Sequence[Ready], history: History, now: datetime) -> list[list[str]]:
    """One run per file."""
    return [[item.pending.token] for item in ready]


def simulated(ask: Ask, seconds: float) -> dict[str, Any]:
    """The number of tasks, and how long files wait until they are settled, in seconds: median and 95th percentile."""
    rules = FileFeedSpec.of(
        {
            "source": "p",
            "table": "f",
            "pattern": r"f_(?P<day>\d{8})_\d+\.csv",
            "contract": {"key": ["a"], "columns": [{"name": "a", "type": "string", "nullable": False}]},
            "partition": {"start": "2026-01-01"},
        }
    )
    waiting: list[tuple[float, Ready]] = []
    for number, at in enumerate(arrivals(seconds)):
        key = f"inbound/p/f_20260309_{number}.csv"
        pending = Pending(key, f"{number:032x}", 1, BEGAN + timedelta(seconds=at))
        waiting.append((at, Ready(pending, rules, DAY, None)))
    came = {item.pending.token: at for at, item in waiting}
    starting: list[tuple[float, float, list[str]]] = []  # (asked for, is there, files)
    waits: list[float] = []
    tick = 0.0
    while waiting:
        tick += TICK_SECONDS
        now = BEGAN + timedelta(seconds=tick)
        history = History()
        coming = [asked for asked, there, _ in starting if there > tick]
        if coming:
            history.coming_up[DAY, ""] = BEGAN + timedelta(seconds=max(coming))
        ready = [item for at, item in waiting if at <= tick]
        for files in ask(ready, history, now):
            there = tick + COLD_START
            starting.append((tick, there, files))
            waits += [there + FILE * (place + 1) - came[token] for place, token in enumerate(files)]
            taken = set(files)
            waiting = [(at, item) for at, item in waiting if item.pending.token not in taken]
    cuts = quantiles(waits, n=20)
    return {"tasks": len(starting), "files": len(waits), "median": round(cuts[9]), "p95": round(cuts[18])}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """The hour, three ways."""
    seconds = 300 if options.get("quick") else HOUR
    sides = {ask.__name__: simulated(ask, seconds) for ask in (packed, each_tick, a_task_a_file)}
    ours, peer, tick = sides["packed"], sides["a_task_a_file"], sides["each_tick"]

    def told(side: dict[str, Any]) -> str:
        return f"{side['tasks']} tasks, a file waits {side['median']} s (95 %: {side['p95']} s)"

    fewer = peer["tasks"] / ours["tasks"]
    return result(
        "packing",
        f"Tasks for {ours['files']} files that come in {seconds // 60} minutes, with a cold start of {COLD_START} s"
        " (simulated)",
        ours=told(ours),
        peer=f"a task a file: {told(peer)}; a task a tick: {told(tick)}",
        ratio=round(fewer, 1),
        peak_mb=None,
        target=f">= {FEWER:.0f}x fewer tasks, median wait <= {LONGER:.0f}x",
        met=fewer >= FEWER and ours["median"] <= LONGER * peer["median"],
        measured=sides,
    )
