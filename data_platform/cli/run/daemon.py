"""Runs that Dagster's daemon launches: its sensor requests the landing runs, and all other runs go through its queue.
This process only watches the runs and counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from data_platform.automation.feed_checks import feed_check_keys
from data_platform.automation.feed_keys import raw_key
from data_platform.automation.landing_sensor import LANDING
from data_platform.cli.project import ROOT, WORKSPACE
from data_platform.cli.run.here import ASSET_JOB
from data_platform.cli.run.location import CodeLocation
from data_platform.cli.run.outcome import RunOutcome, outcome_of
from data_platform.environment import Settings, settings
from data_platform.runs.at_work import DEV_STARTED, dev_at_work, dev_workspace
from data_platform.runs.landing_runs import LANDING_TAG

_UP_SECONDS = 120.0
_LAUNCH_SECONDS = 300.0
_RETRY_SECONDS = 120.0
"""How long the retry of a failed run may take to appear."""
_TELL_EVERY = 30.0
_POLL_SECONDS = 1.0
_STALE_SECONDS = 120.0  # heartbeats come every 30 s, later on a busy machine
_NEEDED = ("SENSOR", "QUEUED_RUN_COORDINATOR")
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in _ENDED]
_LAUNCH = """mutation Launch($run: ExecutionParams!) { launchRun(executionParams: $run) { __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PipelineNotFoundError { message }
  ... on InvalidSubsetError { message }
  ... on PythonError { message } } }"""


class SensorOff(Exception):
    """The landing sensor is switched off, so no file would ever be loaded."""


class DaemonGone(Exception):
    """Dagster's daemon ended while this command waited for its runs."""


def daemon_at_work(instance: dg.DagsterInstance, given: Settings) -> bool:
    """Whether a Dagster daemon launches this instance's runs. Its heartbeats tell, but a daemon that has ended leaves
    the last ones behind. So where `dev` starts the daemons, their process tells."""
    if given.environment == "local":
        if _local_daemon(given.dagster_home):
            return True
        if (given.state_dir / DEV_STARTED).exists():
            return False
    beats = instance.get_daemon_heartbeats()
    oldest = datetime.now(UTC).timestamp() - _STALE_SECONDS
    return all(name in beats and beats[name].timestamp > oldest for name in _NEEDED)


def _local_daemon(home: Path | None) -> bool:
    """Whether this machine has a process of `dagster dev` or `dagster-daemon run` with this DAGSTER_HOME."""
    import psutil  # type: ignore[import-untyped]

    for process in psutil.process_iter(["cmdline"]):
        words = [Path(word).name for word in (process.info["cmdline"] or ())[:4]]
        if not any(pair in (("dagster", "dev"), ("dagster-daemon", "run")) for pair in pairwise(words)):
            continue
        try:
            if home is not None and Path(process.environ().get("DAGSTER_HOME", "")) == home:
                return True
        except psutil.Error:  # it has ended, or is another user's
            continue
    return False


class RunsByDaemon:
    """Lets the daemon launch runs. If none is at work, starts one with the UI; `close` ends it. `tell` gets a line now
    and then that says which run it waits for. Raises RuntimeError if the daemon doesn't start, and DaemonGone if it
    ends meanwhile."""

    def __init__(self, location: CodeLocation, tell: Callable[[str], None]) -> None:
        self._location = location
        self._instance = location.instance
        self._tell = tell
        self._began = datetime.now(UTC)
        self._reported: set[str] = set()
        self._dev: subprocess.Popen[bytes] | None = None
        if daemon_at_work(self._instance, settings()):
            tell("A Dagster daemon is running: it launches the runs, and this command watches them")
            return
        try:
            self._start()
        except BaseException:  # Ctrl-C while it comes up
            self.close()
            raise

    def close(self) -> None:
        """Ends the daemon that this command started."""
        if self._dev is not None and self._dev.poll() is None:
            import psutil

            from data_platform.local_cloud.processes import stop

            stop(psutil.Process(self._dev.pid), first=signal.SIGINT)  # with its webserver and daemon

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        """The landing runs that have ended since the last call. Raises SensorOff."""
        switched = self._instance.all_instigator_state()  # of sensors that somebody has switched on or off
        if any(each.name == LANDING and each.status.value == "STOPPED" for each in switched):
            raise SensorOff(
                f"The sensor `{LANDING}` is switched off, so no file is loaded: switch it on in Dagster's UI"
                f" (Automation), or run `dagster sensor start {LANDING} -w workspace.yaml`."
            )
        self._require_daemon()
        ours = dg.RunsFilter(tags={LANDING_TAG: "true"}, statuses=_ENDED, created_after=self._began)
        for run in self._instance.get_runs(ours):
            if run.run_id not in self._reported:
                self._reported.add(run.run_id)
                yield int(run.tags.get("data_platform/deliveries", "0")), self._outcome(run)

    @property
    def busy(self) -> bool:
        """Whether a landing run is under way."""
        return bool(self._instance.get_runs(dg.RunsFilter(tags={LANDING_TAG: "true"}, statuses=UNDER_WAY), limit=1))

    def build(self, job: str, tags: Mapping[str, str], on_materialized: Callable[[int], None]) -> RunOutcome:
        """Queues a run of a job and waits for its end, and for that of its retry. `on_materialized` gets the number of
        assets that are done, as it grows."""
        return self._wait(self._launch({"jobName": job}, tags), job, on_materialized)

    def execute(
        self,
        assets: Sequence[dg.AssetKey],
        partition: str | None,
        landing_only: bool,
        config: Mapping[str, Any] | None = None,
    ) -> RunOutcome:
        """Queues a run of assets and waits for its end. `landing_only`: they are file feeds', and only landing's own
        checks are made; otherwise all checks of the assets are."""
        selector: dict[str, Any] = {"jobName": ASSET_JOB, "assetSelection": [{"path": key.path} for key in assets]}
        if landing_only:
            feeds = [rules for rules in self._location.feeds if raw_key(rules) in assets]
            checks = [check for rules in feeds for check in feed_check_keys(rules)]
            selector["assetCheckSelection"] = [
                {"assetKey": {"path": check.asset_key.path}, "name": check.name} for check in checks
            ]
        tags = {"dagster/partition": partition} if partition else {}
        return self._wait(self._launch(selector, tags, config), f"{len(assets)} assets", lambda done: None)

    def _launch(
        self, selector: Mapping[str, Any], tags: Mapping[str, str], config: Mapping[str, Any] | None = None
    ) -> str:
        """Asks Dagster's GraphQL API for a run; its id."""
        location = {"repositoryLocationName": "data_platform", "repositoryName": self._location.repository.name}
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        run = {"selector": {**location, **selector}, "mode": "default", "executionMetadata": metadata}
        run |= {"runConfigData": config} if config else {}
        command = [str(Path(sys.executable).with_name("dagster-graphql")), "--workspace", str(workspace_of(settings()))]
        with TemporaryDirectory() as folder:
            answer = Path(folder) / "answer.json"
            command += ["--text", _LAUNCH, "--variables", json.dumps({"run": run}), "--output", str(answer)]
            asked = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LAUNCH_SECONDS
            )
            said = answer.read_text(encoding="utf-8") if answer.exists() else f"{asked.stdout}{asked.stderr}"
        try:
            return str(json.loads(said)["data"]["launchRun"]["run"]["runId"])
        except (ValueError, KeyError, TypeError):
            raise RuntimeError(f"Dagster did not queue the run:\n{said}") from None

    def _wait(self, run_id: str, what: str, on_materialized: Callable[[int], None]) -> RunOutcome:
        reported = time.monotonic()
        failed_at: float | None = None
        while True:
            time.sleep(_POLL_SECONDS)
            run = self._instance.get_run_by_id(run_id)
            if run is None:
                raise RuntimeError(f"The run {run_id} ({what}) was deleted")
            if not run.is_finished:
                self._require_daemon()
                on_materialized(int(getattr(self._instance.get_run_stats(run_id), "materializations", 0)))
                if time.monotonic() - reported > _TELL_EVERY:
                    reported = time.monotonic()
                    self._tell(f"the run {run_id[:8]} ({what}) is {run.status.value}")
                continue
            failed_at = failed_at or time.monotonic()
            if retry := run.tags.get("dagster/auto_retry_run_id"):
                run_id, failed_at = retry, None
            elif time.monotonic() - failed_at > _RETRY_SECONDS:
                return self._outcome(run)
            elif run.status != dg.DagsterRunStatus.FAILURE or run.tags.get("dagster/will_retry") == "false":
                return self._outcome(run)  # a failed run is tagged a moment after it has failed

    def _outcome(self, run: dg.DagsterRun) -> RunOutcome:
        events = [entry.dagster_event for entry in self._instance.all_logs(run.run_id) if entry.dagster_event]
        return outcome_of(run.run_id, run.status == dg.DagsterRunStatus.SUCCESS, events)

    def _require_daemon(self) -> None:
        gone = self._dev.poll() is not None if self._dev else not daemon_at_work(self._instance, settings())
        if gone:
            raise DaemonGone(
                "Dagster's daemon, which launches the runs, has ended. What was loaded stays. Run `data-platform run`"
                " again: it continues where this one stopped."
            )

    def _start(self) -> None:
        from data_platform.local_cloud.ports import any_free

        port = any_free()
        log = settings().state_dir / "logs" / "dev.log"
        command = [str(Path(sys.executable).with_name("data-platform")), "dev", "--port", str(port)]
        started = time.time()
        with log.open("wb") as output:
            self._dev = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        self._tell(f"Dagster's daemon and UI, until this command ends: http://127.0.0.1:{port}")
        while True:
            beats = self._instance.get_daemon_heartbeats()
            if all(name in beats and beats[name].timestamp > started for name in _NEEDED):
                return
            if self._dev.poll() is not None or time.time() - started > _UP_SECONDS:
                self.close()
                raise RuntimeError(f"Dagster's daemon did not start; the end of {log}:\n{_end(log)}")
            time.sleep(_POLL_SECONDS)


def workspace_of(given: Settings) -> Path:
    """The workspace of the daemon: `dev`'s names its code server, so that a run is of the code which that serves, and
    nothing is loaded anew. Otherwise it is this copy on a laptop, and elsewhere the deployment's code server."""
    if given.environment != "local":
        return ROOT / "deploy" / "workspace.yaml"
    return dev_workspace(given.state_dir) if dev_at_work(given.state_dir) else WORKSPACE


def _end(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
