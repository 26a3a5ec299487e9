"""Runs that Dagster's daemon launches, for `data-platform run` where runs are tasks: its sensor takes in what lands,
and jobs go through its queue. This process only looks on, and counts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psutil  # type: ignore[import-untyped]

from data_platform.automation.landing_history import LANDING_TAG
from data_platform.automation.landing_sensor import landing
from data_platform.cli.project import ROOT, WORKSPACE
from data_platform.cli.run.location import CodeLocation
from data_platform.cli.run.outcome import RunOutcome, outcome_of
from data_platform.environment import settings
from data_platform.local_cloud.ports import any_free
from data_platform.local_cloud.processes import stop

_UP_SECONDS = 120.0
_LAUNCH_SECONDS = 300.0
_RETRY_SECONDS = 120.0
"""How long the retry of a failed run may take to be there."""
_TELL_EVERY = 30.0
_POLL_SECONDS = 1.0
_FRESH_SECONDS, _STALE_SECONDS = 45.0, 120.0  # heartbeats come every 30 s, later on a busy machine
_NEEDED = ("SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING")
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in _ENDED]


class SensorOff(Exception):
    """The sensor that takes files in is switched off, so that nothing would ever come of waiting."""


class DaemonLocation(CodeLocation):
    """The code location, whose runs the daemon launches. Where none is at work one is started, with the UI, and ended
    at the end. Raises RuntimeError where it doesn't come up."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(tell)
        self._began = datetime.now(UTC)
        self._told: set[str] = set()
        self._dev: subprocess.Popen[bytes] | None = None
        try:
            self._see_to_a_daemon(_FRESH_SECONDS)
        except BaseException:  # Ctrl-C while it comes up
            self.close()
            raise

    def close(self) -> None:
        """Ends what was started, and gives the connections back."""
        if self._dev is not None and self._dev.poll() is None:
            stop(psutil.Process(self._dev.pid), first=signal.SIGINT)  # with its webserver and daemon
        super().close()

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        """The landing runs that have ended since the last call. Raises SensorOff."""
        switched = self.instance.all_instigator_state()  # of what somebody has switched on or off
        if any(each.name == landing.name and each.status.value == "STOPPED" for each in switched):
            raise SensorOff(
                f"The sensor `{landing.name}` is switched off, so no file is taken in: switch it on in Dagster's UI"
                f" (Automation), or run `dagster sensor start {landing.name} -w workspace.yaml`."
            )
        self._see_to_a_daemon(_STALE_SECONDS)
        ours = dg.RunsFilter(tags={LANDING_TAG: "true"}, statuses=_ENDED, created_after=self._began)
        for run in self.instance.get_runs(ours):
            if run.run_id not in self._told:
                self._told.add(run.run_id)
                yield int(run.tags.get("data_platform/deliveries", "0")), self._outcome(run)

    @property
    def busy(self) -> bool:
        """Whether a landing run is under way."""
        return bool(self.instance.get_runs(dg.RunsFilter(tags={LANDING_TAG: "true"}, statuses=_UNDER_WAY), limit=1))

    def build(self, job: str, on_materialized: Callable[[int], None]) -> RunOutcome:
        """Puts a run of a job into the queue and waits for its end, and for that of its retry."""
        run_id = str(uuid4())
        command = [sys.executable, "-m", "dagster", "job", "launch", "--workspace", str(WORKSPACE)]
        command += ["--location", "data_platform", "--job", job, "--run-id", run_id]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LAUNCH_SECONDS)
        if asked.returncode != 0:
            raise RuntimeError(f"The job {job} could not be launched:\n{asked.stdout}{asked.stderr}")
        told = time.monotonic()
        failed_at: float | None = None
        while True:
            time.sleep(_POLL_SECONDS)
            self._see_to_a_daemon(_STALE_SECONDS)
            run = self.instance.get_run_by_id(run_id)
            if run is None:
                raise RuntimeError(f"The run {run_id} of {job} was deleted")
            on_materialized(int(getattr(self.instance.get_run_stats(run_id), "materializations", 0)))
            if not run.is_finished and time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                self._tell(f"the run {run_id[:8]} of {job} is {run.status.value}")
            if run.is_finished:
                failed_at = failed_at or time.monotonic()
                if retry := run.tags.get("dagster/auto_retry_run_id"):
                    run_id, failed_at = retry, None
                elif time.monotonic() - failed_at > _RETRY_SECONDS:
                    return self._outcome(run)
                elif run.status != dg.DagsterRunStatus.FAILURE or run.tags.get("dagster/will_retry") == "false":
                    return self._outcome(run)  # a failed run is tagged a moment after it has failed

    def _outcome(self, run: dg.DagsterRun) -> RunOutcome:
        events = [entry.dagster_event for entry in self.instance.all_logs(run.run_id) if entry.dagster_event]
        return outcome_of(run.run_id, run.status == dg.DagsterRunStatus.SUCCESS, events)

    def _see_to_a_daemon(self, seconds: float) -> None:
        """Starts a daemon where none has been heard of for so long: one that was ended leaves its last heartbeat."""
        if self._dev is not None and self._dev.poll() is None:
            return
        beats = self.instance.get_daemon_heartbeats()
        oldest = datetime.now(UTC).timestamp() - seconds
        if not all(name in beats and beats[name].timestamp > oldest for name in _NEEDED):
            self._start(self._tell)

    def _start(self, tell: Callable[[str], None]) -> None:
        port = any_free()
        log = settings().state_dir / "logs" / "dev.log"
        command = [str(Path(sys.executable).with_name("data-platform")), "dev", "--port", str(port)]
        started = time.time()
        with log.open("wb") as output:
            self._dev = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        tell(f"Dagster's daemon and UI, while this lasts: http://127.0.0.1:{port}")
        while True:
            beats = self.instance.get_daemon_heartbeats()
            if all(name in beats and beats[name].timestamp > started for name in _NEEDED):
                return
            if self._dev.poll() is not None or time.time() - started > _UP_SECONDS:
                self.close()
                raise RuntimeError(f"Dagster's daemon did not come up; the end of {log}:\n{_end(log)}")
            time.sleep(_POLL_SECONDS)


def _end(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
