"""The image's entrypoint, as a container runs it: a process that becomes the command."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from data_platform.start import StartFailed, prepare, resolved
from data_platform_tests.code.origin import Origin
from data_platform_tests.dagster_internals import settle_seconds
from data_platform_tests.end_to_end.platform import patience, wait_for

ROOT = Path(__file__).parents[1]
SHOW = "import os, sys, data_platform; print(os.getcwd()); print(data_platform.__file__)"
DBT = {"dbt_project.yml": "name: x\n"}


def start(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "data_platform.start", *command],
        env=container(folder, **environment),
        capture_output=True,
        text=True,
        timeout=patience(180),
        check=False,
    )


def container(folder: Path, **environment: str) -> dict[str, str]:
    """All that a container sees."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_PLATFORM_STATE_DIR": str(folder)} | environment


def test_with_nothing_to_do_it_is_the_command_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    done = start(tmp_path, "sh", "-c", "echo $$; exit 7", HOME="/x")
    assert (done.returncode, done.stderr) == (7, "")
    assert time.monotonic() - began < patience(10)


@pytest.mark.parametrize("given", [{}, {"DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "7"}])
def test_dagster_waits_for_events_in_flight_before_it_evaluates_conditions(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict(given)
    prepare(["dagster-daemon", "run"], environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert settle_seconds() == 7 if given else settle_seconds() > 0


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); from data_platform import start;"
        "from data_platform.code import checkouts, git, tree;"
        "start.prepare(['true'], {}); print(*(set(sys.modules) - before))"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "dagster", "grpc", "yaml", "click", "importlib.metadata"} & set(imported)


def test_a_run_works_in_its_commit(origin: Origin, tmp_path: Path) -> None:
    commit = origin.push_code("one")
    origin.push_code("two")
    settings = {"DATA_PLATFORM_CODE_URL": str(origin.bare), "DATA_PLATFORM_CODE_COMMIT": commit}
    done = start(tmp_path / "state", "python", "-c", SHOW, **settings)
    assert done.returncode == 0, done.stderr
    folder, module = done.stdout.split()
    assert folder.endswith(commit)
    assert Path(module) == Path(folder) / "data_platform" / "__init__.py"
    assert "'one'" in (Path(folder) / "data_platform" / "definitions.py").read_text()
    assert f"commit {commit[:12]} of {origin.bare}" in done.stderr


def test_this_python_runs_dagster_and_the_programs_beside_it() -> None:
    path = {"PATH": "/usr/bin:/bin"}
    assert resolved(["dagster", "dev"], path) == [sys.executable, "-m", "dagster", "dev"]
    assert resolved(["dagster-daemon"], path) == [str(Path(sys.executable).with_name("dagster-daemon"))]


def test_what_is_wrong_stands_in_the_log(origin: Origin, tmp_path: Path) -> None:
    origin.push_code("one")
    missing = {"DATA_PLATFORM_CODE_URL": str(origin.bare), "DATA_PLATFORM_CODE_COMMIT": "1" * 40}
    done = start(tmp_path, "dagster", "api", "execute_run", **missing)
    assert done.returncode == 1
    assert "`dagster api execute_run` was not started" in done.stderr
    assert "not our ref" in done.stderr
    assert "Traceback" not in done.stderr
    assert start(tmp_path, "no-such-command").returncode == 127
    assert "no-such-command" in start(tmp_path, "no-such-command").stderr
    assert "usage" in start(tmp_path).stderr


def test_the_instance_is_rendered_but_for_code_servers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    prepare(["dagster", "api", "grpc"], {"DAGSTER_HOME": str(home)})
    assert not home.exists()
    done = start(tmp_path, "true", DAGSTER_HOME=str(home), DAGSTER_POSTGRES_URL="postgresql://x@127.0.0.1/x")
    assert done.returncode == 0, done.stderr
    written = home / "dagster.yaml"
    assert "run_coordinator" in written.read_text()
    written.write_text("# mine\n")
    assert start(tmp_path, "true", DAGSTER_HOME=str(home)).returncode == 0
    assert written.read_text() == "# mine\n"


SECRET = {"host": "db.example.org", "port": 5432, "username": "dagster", "password": "p@ss/w:rd", "dbname": "dagster"}


def test_dagsters_database_is_the_one_of_rdss_secret_and_its_certificate_is_verified() -> None:
    environment = {"DAGSTER_POSTGRES_SECRET": json.dumps({**SECRET, "engine": "postgres"})}
    prepare(["true"], environment)
    url = environment["DAGSTER_POSTGRES_URL"]
    assert make_url(url).password == "p@ss/w:rd"
    assert url.partition("?")[0].endswith("@db.example.org:5432/dagster")
    query = make_url(url).query
    assert query["sslmode"] == "verify-full"
    ssl.create_default_context(cafile=str(query["sslrootcert"]))
    assert "DAGSTER_POSTGRES_SECRET" not in environment


def test_where_rds_changes_the_password_its_secret_has_no_server() -> None:
    environment = {
        "DAGSTER_POSTGRES_SECRET": json.dumps({"username": "dagster", "password": "p@ss"}),
        "DAGSTER_POSTGRES_SERVER": "db.example.org:5432/dagster",
    }
    prepare(["true"], environment)
    url = make_url(environment["DAGSTER_POSTGRES_URL"])
    assert (url.username, url.password, url.host, url.port, url.database) == (
        *("dagster", "p@ss"),
        *("db.example.org", 5432, "dagster"),
    )


def test_a_wrong_secret_names_what_is_missing_and_shows_nothing() -> None:
    for secret, missing in (('{"password": "planted"}', "username"), ("planted", "JSON")):
        with pytest.raises(StartFailed, match=missing) as error:
            prepare(["true"], {"DAGSTER_POSTGRES_SECRET": secret})
        assert "planted" not in str(error.value)


def test_aws_region_alone_is_enough_for_boto3() -> None:
    environment = {"AWS_REGION": "eu-west-1"}
    prepare(["true"], environment)
    assert environment["AWS_DEFAULT_REGION"] == "eu-west-1"


@pytest.mark.parametrize("busy", ["git", "command"])
def test_sigterm_ends_it_and_what_it_waits_for(tmp_path: Path, busy: str) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/git.pid\nexec sleep 60\n")
    slow.chmod(0o755)
    settings = {"PATH": f"{slow.parent}:/usr/bin:/bin"}
    if busy == "git":
        settings |= {"DATA_PLATFORM_CODE_URL": "/srv/x.git", "DATA_PLATFORM_CODE_COMMIT": "1" * 40}
    process = subprocess.Popen(
        [sys.executable, "-m", "data_platform.start", "git"], env=container(tmp_path / "state", **settings)
    )
    written = tmp_path / "git.pid"
    wait_for(lambda: written.exists() and written.read_text().strip(), 60, "git began", every=0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(60)) in (128 + signal.SIGTERM, -signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{written.read_text().strip()}").exists(), 60, "it ends", every=0.02)


def test_each_run_takes_the_head_of_the_dbt_project(origin: Origin, tmp_path: Path) -> None:
    code, dbt = Origin.at(tmp_path / "code"), origin
    commit = code.push_code("one")
    served = dbt.push(DBT | {"models/a.sql": "1"})
    head = dbt.push({"models/a.sql": "2"})
    done = start(tmp_path / "state", "sh", "-c", SHOW_DBT, **both(code, commit, dbt, served))
    assert done.returncode == 0, done.stderr
    ran, model, manifest = done.stdout.splitlines()
    assert (ran, model) == (head, "2")
    assert json.loads(manifest)["nodes"].keys() == {"model.x.a"}
    again = start(tmp_path / "state", "sh", "-c", SHOW_DBT, **both(code, commit, dbt, served))
    project = next((tmp_path / "state").rglob(f"{head}/target/built"))
    assert again.returncode == 0
    assert project.read_text() == "once more\n"


@pytest.mark.parametrize("broken", ["head", "no project", "a model gone", "a model moved", "remote"])
def test_a_run_falls_back_on_the_dbt_commit_that_is_served(origin: Origin, tmp_path: Path, broken: str) -> None:
    code, dbt = Origin.at(tmp_path / "code"), origin
    commit = code.push_code("one")
    served = dbt.push(DBT | {"models/a.sql": "1"})
    settings = both(code, commit, dbt, served)
    if broken == "remote":
        assert start(tmp_path / "state", "true", **settings).returncode == 0, "it fetches what is served"
        dbt.bare.rename(tmp_path / "gone")
    elif broken == "head":
        dbt.push({"dbt_project.yml": "nonsense\n"})
    elif broken == "no project":
        dbt.git("mv", "dbt_project.yml", "elsewhere.yml")
        dbt.push({})
    elif broken == "a model gone":  # Dagster would fail a run that was made to build it
        dbt.git("mv", "models/a.sql", "models/b.sql")
        dbt.push({})
    elif broken == "a model moved":  # it would be another asset
        (dbt.clone / "models" / "marts").mkdir()
        dbt.git("mv", "models/a.sql", "models/marts/a.sql")
        dbt.push({})
    done = start(tmp_path / "state", "sh", "-c", SHOW_DBT, **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [served, "1"]
    assert "warning" in done.stderr
    assert served[:12] in done.stderr


def test_the_command_sees_no_token(origin: Origin, tmp_path: Path) -> None:
    code, dbt = Origin.at(tmp_path / "code"), origin
    settings = both(code, code.push_code("one"), dbt, dbt.push(DBT | {"models/a.sql": "1"}))
    settings |= {"DATA_PLATFORM_CODE_TOKEN": "planted-of-code", "DATA_PLATFORM_DBT_TOKEN": "planted-of-dbt"}
    done = start(tmp_path / "state", "env", **settings)
    assert done.returncode == 0, done.stderr
    assert "DATA_PLATFORM_DBT_COMMIT" in done.stdout
    assert "planted" not in done.stdout + done.stderr


def test_a_moved_tag_of_the_dbt_project_is_not_followed(origin: Origin, tmp_path: Path) -> None:
    code, dbt = Origin.at(tmp_path / "code"), origin
    commit = code.push_code("one")
    served = dbt.push(DBT | {"models/a.sql": "1"})
    dbt.push_tag("v1")
    dbt.push({"models/a.sql": "2"})
    dbt.push_tag("v1", move=True)
    settings = both(code, commit, dbt, served) | {"DATA_PLATFORM_DBT_REF": "v1"}
    done = start(tmp_path / "state", "sh", "-c", SHOW_DBT, **settings)
    assert done.stdout.splitlines()[:2] == [served, "1"]
    assert "was moved" in done.stderr


@pytest.mark.parametrize(
    "command", [["dagster-webserver"], ["dagster-daemon", "run"], ["data-platform", "code-server"]]
)
def test_only_what_loads_definitions_needs_the_dbt_project(command: list[str]) -> None:
    gone = {"DATA_PLATFORM_DBT_URL": "/nowhere/dbt.git", "DATA_PLATFORM_DBT_COMMIT": "1" * 40}
    prepare(command, dict(gone))
    with pytest.raises(StartFailed, match="DATA_PLATFORM_DBT_REF is missing"):
        prepare(["dagster", "api", "execute_run"], dict(gone))


SHOW_DBT = (
    'echo $DATA_PLATFORM_DBT_COMMIT; cat "$DATA_PLATFORM_DBT_PROJECT_DIR/models/a.sql"; echo;'
    ' cat "$DATA_PLATFORM_DBT_PROJECT_DIR/target/manifest.json"'
)


def both(code: Origin, commit: str, dbt: Origin, served: str) -> dict[str, str]:
    return {
        "DATA_PLATFORM_CODE_URL": str(code.bare),
        "DATA_PLATFORM_CODE_COMMIT": commit,
        "DATA_PLATFORM_DBT_URL": str(dbt.bare),
        "DATA_PLATFORM_DBT_REF": "main",
        "DATA_PLATFORM_DBT_COMMIT": served,
    }
