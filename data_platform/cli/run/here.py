"""Executes runs in this process, as Dagster's daemon would launch them: through Dagster's own instance, so that the UI
shows them. Only for an instance without a daemon at work, and one command at a time (`turn`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from uuid import uuid4

import dagster as dg

from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.automation.landing_sensor import LANDING
from data_platform.cli.run.location import CodeLocation, run_locks
from data_platform.cli.run.outcome import RunOutcome, outcome_of
from data_platform.cli.signals import signals_ignored
from data_platform.runs.interrupted import keep_check_results
from data_platform.runs.run_lock import held

# Dagster's names: the job of a run that selects assets, and the tags that its daemon gives a sensor's run.
ASSET_JOB = "__ASSET_JOB"
SENSOR_TAG = "dagster/sensor_name"
RUN_KEY_TAG = "dagster/run_key"
_NO_RETRY = {"dagster/max_retries": "0"}
"""A daemon that starts later leaves a failed run to whoever called the command."""


class RunsHere:
    """Executes one run after the other in this process."""

    busy = False
    """Whether a landing run is under way: none is, between two calls."""

    def __init__(self, location: CodeLocation) -> None:
        self._location = location
        self._cursor: str | None = None

    def take_in(self) -> Iterator[tuple[int, RunOutcome]]:
        """One tick of the landing sensor; executes its run requests: (files, outcome) of each run as it ends."""
        for request in self._landing_requests():
            tags = {**request.tags, SENSOR_TAG: LANDING}
            if request.run_key:
                tags[RUN_KEY_TAG] = request.run_key
            yield (
                int(request.tags.get("data_platform/deliveries", "0")),
                self._execute(
                    self._landing_job,
                    asset_selection=request.asset_selection,
                    partition_key=request.partition_key,
                    run_config=request.run_config,
                    tags=tags,
                ),
            )

    def build(self, job: str, tags: Mapping[str, str], on_materialized: Callable[[int], None]) -> RunOutcome:
        """Executes a job. `on_materialized` gets the number of assets that are done, as it grows."""
        definition = self._location.repository.get_job(job)
        return self._execute(definition, on_materialized=on_materialized, tags=tags)

    def execute(
        self,
        assets: Sequence[dg.AssetKey],
        partition: str | None,
        landing_only: bool,
        config: Mapping[str, Any] | None = None,
    ) -> RunOutcome:
        """Materializes assets. `landing_only`: they are file feeds', and only landing's own checks are made; otherwise
        all checks of the assets are."""
        job = self._landing_job if landing_only else self._location.repository.get_job(ASSET_JOB)
        return self._execute(job, asset_selection=assets, partition_key=partition, run_config=dict(config or {}))

    @cached_property
    def _landing_job(self) -> dg.JobDefinition:
        """The asset job of the file feeds alone. Executing a job in process makes every check of the selected assets;
        those that are not landing's own (arrivals, freshness) are not in this one."""
        keys = {key for rules in self._location.feeds for key in (lake_key(rules), raw_key(rules))}
        by_key = self._location.repository.assets_defs_by_key
        landing_assets = {id(by_key[key]): by_key[key] for key in keys}
        landing_definitions = dg.Definitions(assets=list(landing_assets.values()))  # they hold their resources
        return landing_definitions.get_repository_def().get_job(ASSET_JOB)

    def _landing_requests(self) -> list[dg.RunRequest]:
        definitions = self._location.definitions
        context = dg.build_sensor_context(
            instance=self._location.instance,
            cursor=self._cursor,
            definitions=definitions,
            sensor_name=LANDING,
            resources={"landing": (definitions.resources or {})["landing"]},
        )
        result: Any = self._location.repository.get_sensor_def(LANDING)(context)
        self._cursor = result.cursor
        return list(result.run_requests or ())

    def _execute(
        self,
        job: dg.JobDefinition,
        *,
        on_materialized: Callable[[int], None] | None = None,
        tags: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> RunOutcome:
        """Executes one run and waits for its end. A failure is in the outcome, not raised."""
        run_id = str(uuid4())
        if on_materialized is not None:
            self._report_progress(run_id, on_materialized)
        with held(run_locks(), run_id, lambda: self._is_over(run_id)), self._ended_if_interrupted(run_id):
            result = job.execute_in_process(
                instance=self._location.instance,
                run_id=run_id,
                raise_on_error=False,
                tags={**(tags or {}), **_NO_RETRY},
                **arguments,
            )
        if not result.success:
            keep_check_results(self._location.instance, run_id)
        return outcome_of(run_id, result.success, result.all_events)

    def _report_progress(self, run_id: str, on_materialized: Callable[[int], None]) -> None:
        done = 0

        def count(entry: dg.EventLogEntry) -> None:
            nonlocal done
            if entry.dagster_event and entry.dagster_event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
                done += 1
                on_materialized(done)

        self._location.instance.add_event_listener(run_id, count)

    def _is_over(self, run_id: str) -> bool:
        run = self._location.instance.get_run_by_id(run_id)
        return run is None or run.is_finished

    @contextmanager
    def _ended_if_interrupted(self, run_id: str) -> Iterator[None]:
        """However this is left, the run is no longer under way."""
        try:
            yield
        except BaseException as error:
            with signals_ignored():
                instance = self._location.instance
                run = instance.get_run_by_id(run_id)
                if run is not None and not run.is_finished:
                    if isinstance(error, Exception):
                        instance.report_run_failed(run, str(error))
                    else:
                        instance.report_run_canceled(run, "The command that executed it was interrupted.")
                keep_check_results(instance, run_id)
            raise
