"""`doctor --deep`: each probe, where what it looks for isn't so. end_to_end/test_commands has them all succeed, and
local_cloud/ecs/test_up the task."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import obstore
import pytest
from botocore.exceptions import WaiterError
from click.testing import CliRunner
from obstore.store import MemoryStore
from snowflake.connector import ProgrammingError

from data_platform.cli import main
from data_platform.cli.doctor.deep import in_task
from data_platform.cli.doctor.deep import task as tasks
from data_platform.cli.doctor.deep import users as probes
from data_platform.cli.doctor.deep.buckets import conditional_put, missing_key
from data_platform.cli.doctor.deep.copying import compared
from data_platform.cli.doctor.deep.extremes import EXTREMES
from data_platform.cli.doctor.deep.users import Attempt, Scratch, attempts, remove, tried, users
from data_platform.cli.doctor.finding import Finding
from data_platform.contract.types import SNOWFLAKE_TYPES, parse_type
from data_platform.environment import Settings
from data_platform.runs.launcher import FargateRunLauncher
from data_platform_tests.test_environment import LOCAL_ENDPOINTS, PRODUCTION

SCRATCH = Scratch("DB", "1")
ROLES = {"loader": "L", "dbt": "T", "reader": "R"}
GIVEN = Settings.from_environment(PRODUCTION)


class Session:
    """A session of Snowflake: `answers` decides about a statement, and may raise."""

    def __init__(self, answers: Any = lambda sql: None) -> None:
        self.answers = answers
        self.executed: list[str] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cursor(self) -> Session:
        return self

    def execute(self, sql: str) -> None:
        self.executed.append(sql)
        self.row = self.answers(sql)

    def fetchone(self) -> Any:
        return self.row


def raising(errno: int, sqlstate: str = "02000") -> Session:
    def refuse(sql: str) -> None:
        raise ProgrammingError("refused", errno=errno, sqlstate=sqlstate)

    return Session(refuse)


FORBIDDEN = [each for each in attempts(SCRATCH, ROLES) if not each.allowed]
ALLOWED = [each for each in attempts(SCRATCH, ROLES) if each.allowed]


@pytest.mark.parametrize("attempt", FORBIDDEN, ids=lambda each: f"{each.user} {each.what}")
def test_what_a_user_must_not_do_fails_if_an_account_allows_it(attempt: Attempt) -> None:
    session = Session()
    found = tried(session, attempt, local=False)  # type: ignore[arg-type]
    assert (found.state, found.found) == ("failed", "was allowed")
    assert "bootstrap --check" in found.fix
    assert session.executed == [attempt.sql, *([attempt.undo] if attempt.undo else [])]


@pytest.mark.parametrize(("errno", "sqlstate"), [(3001, "42501"), (2003, "02000"), (2043, "02000"), (3540, "42501")])
def test_only_a_refusal_for_missing_rights_proves_something(errno: int, sqlstate: str) -> None:
    assert tried(raising(errno, sqlstate), FORBIDDEN[0], local=False).state == "ok"  # type: ignore[arg-type]
    other = tried(raising(1003, "42000"), FORBIDDEN[0], local=False)  # type: ignore[arg-type]
    assert other.state == "failed", "a wrong statement is refused too"


@pytest.mark.parametrize("attempt", ALLOWED, ids=lambda each: f"{each.user} {each.what}")
def test_what_a_user_may_do_fails_if_it_is_refused(attempt: Attempt) -> None:
    assert tried(raising(2003), attempt, local=False).state == "failed"  # type: ignore[arg-type]


def test_the_local_cloud_is_not_taken_for_a_proof() -> None:
    found = tried(Session(), FORBIDDEN[0], local=True)  # type: ignore[arg-type]
    assert found.state == "warning"
    assert "Only an account can prove it" in found.found


def test_no_user_may_write_where_another_does() -> None:
    """Each pair of a user and another's table, and reading where only its owner reads."""
    said = {(each.user, each.sql) for each in FORBIDDEN}
    for user, own in (("loader", (SCRATCH.raw, SCRATCH.ledger)), ("dbt", (SCRATCH.mart,)), ("reader", ())):
        for table in (SCRATCH.raw, SCRATCH.ledger, SCRATCH.mart):
            assert ((user, f"INSERT INTO {table} SELECT 2") in said) is (table not in own)
    assert {("dbt", f"SELECT N FROM {SCRATCH.ledger}"), ("reader", f"SELECT N FROM {SCRATCH.raw}")} <= said


def test_scratch_tables_that_cannot_be_dropped_are_named() -> None:
    sessions = {"loader": Session(), "dbt": raising(3001)}
    (left,) = remove(sessions, SCRATCH)  # type: ignore[arg-type]
    assert (left.state, left.fix) == ("failed", "DROP TABLE DB.MARTS.DOCTOR_1")


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """{user: its session, or the error of its sign-in}."""
    sessions: dict[str, Any] = {}

    def connect(as_user: Settings, **_: Any) -> Any:
        of = sessions[as_user.snowflake.user]
        if isinstance(of, Exception):
            raise of
        return of

    monkeypatch.setattr("data_platform.warehouse.connection.connect", connect)
    for as_user in (GIVEN, GIVEN.as_dbt(), GIVEN.as_reader()):
        identity = (as_user.snowflake.user, as_user.snowflake.role)
        sessions[identity[0]] = Session(lambda sql, row=identity: row)
    return sessions


def found_by_users() -> dict[str, Finding]:
    return {finding.subject: finding for finding in users(GIVEN)}


def test_a_user_that_cannot_sign_in_is_named_with_what_to_do(connected: dict[str, Any]) -> None:
    connected["DATA_PLATFORM_DBT"] = PermissionError("JWT token is invalid.")
    found = found_by_users()
    assert found["dbt signs in"].state == "failed"
    assert "rotate-key dbt begin" in found["dbt signs in"].fix
    assert found["reader signs in"].state == "ok"
    assert found["rights in Snowflake"].found.startswith("not tried")


def test_a_session_with_another_role_is_named(connected: dict[str, Any]) -> None:
    connected["DATA_PLATFORM_REPORTS"] = Session(lambda sql: ("DATA_PLATFORM_REPORTS", "PUBLIC"))
    failed = found_by_users()["reader signs in"]
    assert (failed.state, failed.found[:41]) == ("failed", "as DATA_PLATFORM_REPORTS with PUBLIC, exp")


def test_a_failure_amid_the_probes_hides_none_and_leaves_nothing(
    connected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError("no such bucket")

    connected["LOADER"] = Session(lambda sql: ("LOADER", "LOADER") if "CURRENT_USER" in sql else None)
    connected["DATA_PLATFORM_DBT"].answers = lambda sql: (
        ("DATA_PLATFORM_DBT", "DATA_PLATFORM_TRANSFORMER") if "CURRENT_USER" in sql else raising(3001).execute(sql)
    )
    monkeypatch.setattr(probes, "copies", full)
    connected["DATA_PLATFORM_DBT"].executed.clear()
    found = found_by_users()
    assert found["rights in Snowflake"].state == "failed"
    assert found["copy"].found == "no such bucket"
    dropped = [sql.split(" IF EXISTS ")[0] for sql in connected["LOADER"].executed if sql.startswith("DROP")]
    assert dropped == ["DROP SCHEMA", "DROP TABLE"]
    assert found["scratch tables"].state == "failed", "dbt's session refuses to drop its table"


OTHERWISE: dict[str, Any] = {
    "string": "\\n",
    "float": 0.1 + 1e-16,
    "boolean": False,
    "json": '{"a": 1}',
    "binary": b"\x01",
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_a_value_that_comes_back_otherwise_fails_its_type(kind: str) -> None:
    written = list(EXTREMES[kind])
    assert compared(kind, [*written, None, None]).state == "ok"
    for place in range(len(written)):
        wrong = [*written, None, None]
        wrong[place] = None
        assert compared(kind, wrong).state == "failed"
        wrong[place] = next(value for value in (*written, OTHERWISE.get(kind)) if unlike(value, written[place]))
        assert compared(kind, wrong).state == "failed"
    assert compared(kind, [*written, written[0]]).state == "failed", "NULL came back as a value"


def unlike(one: Any, other: Any) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return not both_nan and repr(one) != repr(other)


def test_the_extremes_are_of_every_type() -> None:
    assert {parse_type(kind).name for kind in EXTREMES} == {*SNOWFLAKE_TYPES, "decimal"}


def test_an_s3_without_conditional_puts_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    assert conditional_put(store, "_doctor/a", "lake").state == "ok"
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda to, key, content, **_: put(to, key, content))
    failed = conditional_put(store, "_doctor/a", "lake")
    assert (failed.state, failed.found) == ("failed", "a second put with If-None-Match overwrote the first")
    assert list(obstore.list(store)) == [], "it left something behind"


def test_a_bucket_that_forbids_a_missing_key_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    assert missing_key(store, "extracts/a", "lake").state == "ok"
    obstore.put(store, "extracts/a", b"")
    assert missing_key(store, "extracts/a", "lake").state == "failed"

    def forbidden(*_: Any) -> None:
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(obstore, "head", forbidden)
    failed = missing_key(store, "extracts/a", "lake")
    assert (failed.state, failed.fix[:20]) == ("failed", "allow s3:ListBucket ")


class Ecs:
    """ECS's answers to one task."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, code: int | None = 0, *, starts: bool = True, ends: bool = True) -> None:
        self.code, self.starts, self.ends = code, starts, ends
        self.stopped: list[str] = []

    def run_task(self, **given: Any) -> Any:
        self.given = given
        return {"tasks": [{"taskArn": "a/b/1"}] if self.starts else [], "failures": [{"reason": "RESOURCE:MEMORY"}]}

    def get_waiter(self, name: str) -> Any:
        return SimpleNamespace(wait=self.wait)

    def wait(self, **_: Any) -> None:
        if not self.ends:
            raise WaiterError("TasksStopped", "Max attempts exceeded", {})

    def stop_task(self, *, task: str, **_: Any) -> None:
        self.stopped.append(task)

    def describe_tasks(self, **_: Any) -> Any:
        return {"tasks": [{"containers": [{"exitCode": self.code}], "stoppedReason": "CannotPullContainerError"}]}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `task` finds with an ECS, and a lake where the task wrote `findings`."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    context = {"ecs": {"env_vars": ["AWS_REGION=us-east-1"], "secrets": []}}
    given = {**PRODUCTION, "DATA_PLATFORM_RUNS_ON": "ecs", "DAGSTER_CURRENT_IMAGE": "image@sha256:1"}
    settings = Settings.from_environment({**given, "DAGSTER_CONTAINER_CONTEXT": json.dumps(context)})
    monkeypatch.setattr(Settings, "adopt", lambda self: self)
    monkeypatch.setattr("data_platform.runs.task_definition.registered", lambda ecs, definition: definition["family"])
    monkeypatch.setattr("data_platform.runs.task_definition.settings", lambda: settings)

    def found(ecs: Ecs, findings: list[Any] | None = None) -> list[Finding]:
        launcher = FargateRunLauncher(
            task_definition={"log_group": "/runs", "requires_compatibilities": ["FARGATE"]},
            use_current_ecs_task_config=False,
            secrets_tag=None,
            run_task_kwargs={"cluster": "c"},
            run_resources={"cpu": "1024", "memory": "2048"},
        )
        launcher.ecs = ecs
        instance = SimpleNamespace(run_launcher=launcher)
        monkeypatch.setattr("dagster.DagsterInstance.get", lambda: nullcontext(instance))
        store = MemoryStore()
        monkeypatch.setattr("data_platform.lake.store.open_bucket", lambda *_: store)
        run = tasks.run_to_its_end

        def run_and_write(settings: Settings, image: str, given: Any, command: list[str]) -> str:
            arn = run(settings, image, given, command)
            if findings is not None:
                obstore.put(store, command[-1], json.dumps(findings).encode())
            return arn

        monkeypatch.setattr(tasks, "run_to_its_end", run_and_write)
        result = list(tasks.task(settings))
        monkeypatch.setattr(tasks, "run_to_its_end", run)
        assert list(obstore.list(store)) == []
        return result

    return found


def test_the_task_is_a_runs_and_its_findings_are_shown(start: Any) -> None:
    ecs = Ecs()
    bad = {"subject": "conditional put", "state": "failed", "found": "403", "fix": "allow it", "seconds": 0.1}
    began, failed = start(ecs, [bad])
    assert (began.state, failed.state, failed.subject) == ("ok", "failed", "a run's task: conditional put")
    assert ecs.given["taskDefinition"].startswith("data-platform-prod_doctor_")
    assert ecs.given["cluster"] == "c"


@pytest.mark.parametrize(
    ("ecs", "words"),
    [
        (Ecs(starts=False), "ECS did not start it: RESOURCE:MEMORY"),
        (Ecs(code=1), "ended with 1: CannotPullContainerError"),
        (Ecs(code=None), "ended with None: CannotPullContainerError"),
        (Ecs(ends=False), "did not end within ten minutes; it is stopped"),
    ],
)
def test_a_task_that_does_not_run_fails_with_ecs_reason(start: Any, ecs: Ecs, words: str) -> None:
    (failed,) = start(ecs)
    assert failed.state == "failed"
    assert words in failed.found
    assert ecs.stopped == ([] if ecs.ends else ["a/b/1"])


def test_a_task_that_writes_nothing_fails(start: Any) -> None:
    assert [finding.state for finding in start(Ecs())] == ["ok", "failed"]


def test_a_container_that_does_not_know_the_image_of_runs_fails() -> None:
    given = Settings.from_environment({**PRODUCTION, "DATA_PLATFORM_RUNS_ON": "ecs"})
    (failed,) = tasks.task(given)
    assert (failed.state, failed.fix[:9]) == ("failed", "set DAGST")
    local = Settings.from_environment(LOCAL_ENDPOINTS)
    assert [finding.state for finding in tasks.task(local)] == ["warning"]


def test_a_task_that_cannot_sign_in_still_reports_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_platform.lake.store.open_bucket", lambda *_: MemoryStore())
    states = {finding.subject: finding.state for finding in in_task.found_here(GIVEN, "extracts/_doctor/1.json")}
    assert states["Snowflake"] == states["Snowflake for dbt"] == "failed", "there is no key"
    assert list(states.values()).count("ok") == 3


def test_deep_connects_so_it_is_not_offline() -> None:
    assert CliRunner().invoke(main, ["doctor", "--deep", "--offline"]).exit_code == 2
