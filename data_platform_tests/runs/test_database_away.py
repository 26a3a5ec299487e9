"""Dagster's database goes while a run builds models, as by `data-platform down`, and comes back: the run is found and
ended, whatever became of its lock file, and frees its pool."""

# No `from __future__ import annotations`: Dagster reads the op's.

import multiprocessing
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from data_platform.environment import settings
from data_platform.runs import run_lock
from data_platform.runs.abandoned import report_abandoned, without_process
from data_platform.runs.executor import run_executor
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.servers.postgres import running_postgres

pytestmark = pytest.mark.server
POOL = "dbt"


@dg.op(pool=POOL, config_schema={"folder": str})
def build(context: dg.OpExecutionContext) -> None:
    """Builds until it may go on, in the pool."""
    folder = Path(context.op_config["folder"])
    (folder / "building").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)


@dg.job(executor_def=run_executor(settings().model_copy(update={"runs_on": "process"})))
def daily() -> None:
    build()


def dagster(home: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(home))


def execute(home: Path) -> None:
    """One run, in a process of its own."""
    with dagster(home) as instance:
        config = {"ops": {"build": {"config": {"folder": str(home)}}}}
        dg.execute_job(dg.reconstructable(daily), instance, run_config=config)


def holders(instance: dg.DagsterInstance) -> list[str]:
    """The runs for which others of the pool wait: by deploy/dagster.yaml, those that are under way."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    return [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=under_way))]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def started(home: Path) -> multiprocessing.process.BaseProcess:
    run: Any = multiprocessing.get_context("spawn").Process(target=execute, args=(home,))
    run.start()
    return run


def write_config(home: Path, url: str) -> None:
    (home / "dagster.yaml").write_text(
        "storage:\n"
        "  custom:\n"
        "    module: data_platform.runs.storage\n"
        "    class: PooledPostgresStorage\n"
        f"    config: {{postgres_url: '{url}dagster'}}\n"
        "telemetry: {enabled: false}\n"
        "concurrency: {pools: {default_limit: 1, granularity: run}}\n"
    )


def test_a_run_whose_database_was_away_is_ended_and_holds_no_pool_any_more(home: Path) -> None:
    locks = run_lock.folder_in(settings().state_dir)
    with running_postgres(home / "state") as url:
        with closing(psycopg2.connect(f"{url}postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE DATABASE dagster")
        write_config(home, url)
        run = started(home)
        wait_for((home / "building").exists, 120, "the run builds", every=0.05)
        with dagster(home) as instance:
            (run_id,) = holders(instance)
            assert without_process(instance, locks, starting_seconds=0) == []
    (home / "go").touch()
    run.join(120)
    assert run.exitcode not in (0, None), "it could not store its end"
    lock = locks / f"{run_id}.lock"
    lock.unlink()  # it was left behind; whether it is there must make no difference
    with running_postgres(home / "state", make_url(url).port), dagster(home) as instance:
        assert [each.run_id for each in without_process(instance, locks, starting_seconds=0)] == [run_id]
        assert holders(instance) == [run_id]
        assert report_abandoned(instance, locks, all_here=True, starting_seconds=0) == [run_id]
        ended = instance.get_run_by_id(run_id)
        assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE
        assert holders(instance) == []
