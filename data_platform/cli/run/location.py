"""The code location in this process: what it defines, and executing runs of it as Dagster's daemon would ask for them.

Runs go through Dagster's own instance, so that the UI shows them beside those that the daemon started.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from data_platform.automation.landing_run import lake_key, raw_key
from data_platform.automation.landing_sensor import feeds_of, landing
from data_platform.cli.run.outcome import RunOutcome, outcome_of
from data_platform.cli.run.turns import wait_for_turn
from data_platform.cli.signals import signals_ignored
from data_platform.environment import settings
from data_platform.landing.feed import FeedRules
from data_platform.runs.abandoned import report_abandoned
from data_platform.runs.run_lock import folder_in, held

# The names by which Dagster itself knows them: the job of a run that selects assets, and the daemon's tags.
ASSET_JOB = "__ASSET_JOB"
SENSOR_TAG = "dagster/sensor_name"
RUN_KEY_TAG = "dagster/run_key"
_POLL_SECONDS = 0.5
_BARE_KEY = re.compile(r"(\+*)([\w*.-]+(?:/[\w*.-]+)+)(\+*)")


class CodeLocation:
    """Definitions and instance. Loading takes a second or two; the settings must have been adopted. `tell` is given a
    line, now and then, about what is waited for."""

    def __init__(self, tell: Callable[[str], None] = lambda line: None) -> None:
        from data_platform.definitions import defs

        self.definitions: dg.Definitions = defs()
        self.instance = dg.DagsterInstance.get()
        report_abandoned(self.instance, _locks())
        self._tell = tell
        self._cursor: str | None = None

    def close(self) -> None:
        """Gives the instance's connections back."""
        self.instance.dispose()

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """The definitions as code servers see them."""
        return self.definitions.get_repository_def()

    @cached_property
    def feeds(self) -> Sequence[FeedRules]:
        """Every file feed."""
        return feeds_of(self.repository)

    @cached_property
    def _landing_job(self) -> dg.JobDefinition:
        """The asset job of the file feeds alone. Executing a job in process makes every check of the selected assets;
        those that are not landing's own (arrivals, freshness) are not in this one."""
        keys = {key for rules in self.feeds for key in (lake_key(rules), raw_key(rules))}
        by_key = self.repository.assets_defs_by_key
        landing_assets = {id(by_key[key]): by_key[key] for key in keys}
        landing_definitions = dg.Definitions(assets=list(landing_assets.values()))  # they hold their resources
        return landing_definitions.get_repository_def().get_job(ASSET_JOB)

    def select(self, selection: str) -> list[dg.AssetKey]:
        """The materializable assets that a selection in Dagster's syntax means, in order; `raw/clear_air/*+` is short
        for `key:"raw/clear_air/*"+`. Raises what Dagster does for one that is not in its syntax."""
        if key := _BARE_KEY.fullmatch(selection):
            selection = f'{key[1]}key:"{key[2]}"{key[3]}'
        found = dg.AssetSelection.from_string(selection).materializable()
        return sorted(found.resolve(self.repository.asset_graph))

    def landing_requests(self) -> list[dg.RunRequest]:
        """One tick of the landing sensor."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursor,
            definitions=self.definitions,
            sensor_name=landing.name,
            resources={"landing": (self.definitions.resources or {})["landing"]},
        )
        result: Any = landing(context)
        self._cursor = result.cursor
        return list(result.run_requests or ())

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        """What the landing sensor asks for now, executed: (files, outcome) of each run as it ends."""
        for request in self.landing_requests():
            yield int(request.tags.get("data_platform/deliveries", "0")), self.execute_landing(request)

    @property
    def busy(self) -> bool:
        """Whether runs are under way that take something in: none is, between two calls."""
        return False

    def build(self, job: str, on_materialized: Callable[[int], None]) -> RunOutcome:
        """Executes a job, as `execute` does."""
        return self.execute(job=job, on_materialized=on_materialized)

    def execute_landing(self, request: dg.RunRequest) -> RunOutcome:
        """Executes what the landing sensor asked for, with the tags that the daemon would give the run."""
        tags = {**request.tags, SENSOR_TAG: landing.name}
        if request.run_key:
            tags[RUN_KEY_TAG] = request.run_key
        return self.execute(
            assets=request.asset_selection,
            landing_only=True,
            partition=request.partition_key,
            run_config=request.run_config,
            tags=tags,
        )

    def execute(
        self,
        *,
        job: str = ASSET_JOB,
        assets: Sequence[dg.AssetKey] | None = None,
        landing_only: bool = False,
        partition: str | None = None,
        run_config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        on_materialized: Callable[[int], None] | None = None,
    ) -> RunOutcome:
        """Executes one run in this process and waits for its end. `landing_only`: the assets are file feeds', with the
        checks that landing makes; otherwise all checks of the assets are made. A failure is told, not raised.
        `on_materialized` is told, now and then, how many assets are done. Raises PoolTaken where another run has a pool
        that this one needs, for too long."""
        run_id = str(uuid4())
        definition = self._landing_job if landing_only else self.repository.get_job(job)
        with (
            held(_locks(), run_id, lambda: self._is_over(run_id)),
            self._watched(run_id, on_materialized),
            self._in_turn(run_id),
        ):
            result = definition.execute_in_process(
                instance=self.instance,
                asset_selection=assets,
                partition_key=partition,
                run_config=run_config,
                tags=tags,
                run_id=run_id,
                raise_on_error=False,
            )
        return outcome_of(run_id, result.success, result.all_events)

    def _is_over(self, run_id: str) -> bool:
        run = self.instance.get_run_by_id(run_id)
        return run is None or run.is_finished

    @contextmanager
    def _in_turn(self, run_id: str) -> Iterator[None]:
        """Has the run wait for its pools once it is STARTED, before its first step. However this is left, the run is
        under way no more."""

        def wait(event: dg.EventLogEntry) -> None:
            if event.dagster_event and event.dagster_event.event_type == dg.DagsterEventType.RUN_START:
                wait_for_turn(self.instance, run_id, self._tell, lambda: report_abandoned(self.instance, _locks()))

        self.instance.add_event_listener(run_id, wait)
        try:
            yield
        except BaseException as error:
            with signals_ignored():
                run = self.instance.get_run_by_id(run_id)
                if run is not None and not run.is_finished:
                    if isinstance(error, Exception):
                        self.instance.report_run_failed(run, str(error))
                    else:
                        self.instance.report_run_canceled(run, "The command that executed it was interrupted.")
            raise

    @contextmanager
    def _watched(self, run_id: str, tell: Callable[[int], None] | None) -> Iterator[None]:
        if tell is None:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_POLL_SECONDS):
                with suppress(Exception):  # Dagster's database, for now; the run itself says if it can't do without
                    if self.instance.has_run(run_id):
                        done = self.instance.get_run_stats(run_id)
                        tell(int(getattr(done, "materializations", 0)))

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _locks() -> Path:
    return folder_in(settings().state_dir)
