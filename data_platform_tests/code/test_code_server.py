"""`data-platform code-server` with real repositories, real Dagster code servers and real kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
import yaml

from data_platform_tests.code.origin import Origin
from data_platform_tests.code.running import Running, running, start, told_commit
from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.servers.git_http import serving

pytestmark = pytest.mark.server
TOKEN = "planted-token-7c1f/+x"
DBT = {"dbt_project.yml": "name: x\n"}


@dataclass(frozen=True)
class Shared:
    """A code server of several tests, and the repository that it follows. Its state is in `folder`."""

    origin: Origin
    server: Running
    folder: Path

    def served(self) -> str:
        """A good commit, the branch's head, when nothing else is served any more."""
        commit: str = self.server.state()["code"]["served"]
        if commit != self.origin.head:
            commit = self.origin.push_code("one")
            self.server.wait_served(commit)
        self.server.until(lambda: len(self.server.state()["processes"]) == 1)
        return commit


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    origin = Origin.at(folder / "git")
    origin.push_code("one")
    with running(folder, origin.bare) as server:
        server.wait_served(origin.head)
        yield Shared(origin, server, folder)


def test_a_push_is_served_and_a_bad_one_is_refused(shared: Shared) -> None:
    origin, server = shared.origin, shared.server
    first = shared.served()
    assert server.told_commit() == first

    second = origin.push_code("two")
    server.wait_served(second)
    assert server.told_commit() == second

    bad = origin.push_code("three", problem="no such component")
    assert "`data-platform check` failed" in server.wait_refused(bad)
    assert "no such component" in server.wait_refused(bad)
    broken = origin.push({"data_platform/cli.py": "def main(): pass\n", "data_platform/definitions.py": "1 +"})
    assert "SyntaxError" in server.wait_refused(broken)
    package = origin.push_code("four", extra={"requirements/base.txt": "dagster==0.0.1\n"})
    assert "build a new image" in server.wait_refused(package)
    time.sleep(1.5)  # several looks
    assert server.log.read_text().count(f"commit {package} is refused") == 1
    assert server.told_commit() == second

    good = origin.push_code("five")
    server.wait_served(good)
    assert server.told_commit() == good
    assert server.state()["code"]["refused"] is None


def test_pushes_under_load_lose_no_call(shared: Shared) -> None:
    server = shared.server
    commits = [shared.served()]
    over = threading.Event()

    def hammer(port: int, found: list[str]) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            while not over.is_set():
                found.append(told_commit(channel))
                time.sleep(0.01)

    with ThreadPoolExecutor(4) as pool:
        answers: list[list[str]] = [[] for _ in range(4)]
        clients = [pool.submit(hammer, server.port, found) for found in answers]

        def told() -> bool:
            return all(found and found[-1] == commits[-1] for found in answers) or any(one.done() for one in clients)

        try:
            server.until(told)
            for version in "12":
                commits.append(shared.origin.push_code(version))
                server.wait_served(commits[-1])
                server.until(told)
        finally:
            over.set()
        for client in clients:
            client.result(120)
    server.until(lambda: len(server.state()["processes"]) == 1)
    for found in answers:
        assert [commit for number, commit in enumerate(found) if found[number - 1 : number] != [commit]] == commits


def test_a_backend_that_is_killed_comes_back(shared: Shared) -> None:
    server, commit = shared.server, shared.served()
    for _ in range(2):
        (pid,) = server.state()["processes"]
        os.kill(pid, signal.SIGKILL)
        assert server.told_commit(timeout=patience(120)) == commit  # it waits, and isn't lost
        server.until(lambda before=pid: server.state()["processes"] not in ([], [before]))  # type: ignore[misc]


def test_killed_at_any_moment_it_serves_when_it_is_started_again(origin: Origin, tmp_path: Path) -> None:
    extra = {f"models/{number}.sql": "select 1\n" * 100 for number in range(2000)}
    first = origin.push_code("one", extra=extra)
    for delay in (0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0):
        server = start(tmp_path, origin.bare)
        time.sleep(delay)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
        tree = next((tmp_path / "state" / "code").glob(f"*/commits/{first}"))
        assert len(list((tree / "models").iterdir())) == 2000
        # What the killed ones left has ended: at the latest when it has heard nothing from them for two minutes.
        server.until(lambda: len(backends(tmp_path)) == 1, 300)
    assert backends(tmp_path) == []


def test_the_last_good_commit_is_served_while_the_head_is_bad_and_while_the_remote_is_down(
    origin: Origin, tmp_path: Path
) -> None:
    first = origin.push_code("one")
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
    bad = origin.push_code("two", problem="bad")
    with running(tmp_path, origin.bare) as server:
        assert "bad" in server.wait_refused(bad)
        assert server.told_commit() == first
    aside = tmp_path / "aside.git"
    origin.bare.rename(aside)
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
        server.until(lambda: bool(server.state()["code"]["unreachable"]))
        assert server.told_commit() == first
        aside.rename(origin.bare)
        second = origin.push_code("three")
        server.wait_served(second)
        assert server.state()["code"]["unreachable"] is None


def test_on_a_new_disk_the_newest_good_commit_before_a_bad_head_is_served(origin: Origin, tmp_path: Path) -> None:
    origin.push_code("one")
    good = origin.push_code("two")
    origin.push_code("three", problem="bad")
    bad = origin.push_code("four", problem="worse")
    with running(tmp_path, origin.bare) as server:
        server.wait_served(good)
        assert "worse" in server.wait_refused(bad)
        assert server.told_commit() == good


def test_with_nothing_good_the_reason_reaches_who_asks(origin: Origin, tmp_path: Path) -> None:
    bad = origin.push_code("one", problem="the table has no key")
    with running(tmp_path, origin.bare) as server:
        server.wait_refused(bad)
        with pytest.raises(grpc.RpcError) as error:
            server.told_commit(timeout=10)
        assert "the table has no key" in error.value.details()
        good = origin.push_code("two")
        server.wait_served(good)


def test_a_tag_pins_and_the_webhook_means_look_now(origin: Origin, tmp_path: Path) -> None:
    first = origin.push_code("one")
    origin.push_tag("v1")
    secret = {"DATA_PLATFORM_CODE_WEBHOOK_SECRET": "s3cret"}
    with running(tmp_path, origin.bare, "v1", **secret) as server:
        server.wait_served(first)
        origin.push_code("two")
        origin.push_tag("v1", move=True)
        assert knock(server, "wrong") == "401"
        assert knock(server, "s3cret") == "202"  # else a tag is looked at every five minutes
        server.until(lambda: bool(server.state()["code"]["warning"]))
        assert "tag v1 was moved" in server.log.read_text()
        assert server.told_commit() == first
    with running(tmp_path, origin.bare, "v1") as server:
        server.wait_served(first)
        server.until(lambda: bool(server.state()["code"]["warning"]))
        assert server.told_commit() == first


def test_the_token_shows_nowhere(origin: Origin, tmp_path: Path) -> None:
    first = origin.push_code("one")
    command_lines: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for process in psutil.process_iter():
                try:
                    command_lines.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    secret = {"DATA_PLATFORM_CODE_TOKEN": TOKEN}
    with serving(origin.bare.parent, TOKEN) as remote:
        try:
            with running(tmp_path, remote.url(origin.bare), **secret) as server:
                server.wait_served(first)
                (backend,) = server.state()["processes"]
                assert TOKEN not in str(psutil.Process(backend).environ())
                remote.down.set()
                server.until(lambda: bool(server.state()["code"]["unreachable"]))
                remote.down.clear()
                remote.holding.set()  # else git might have fetched between two looks
                second = origin.push_code("two", problem=f"a check that prints {TOKEN}")
                server.until(lambda: any("fetch" in line for line in list(command_lines)))
                remote.holding.clear()
                server.wait_refused(second)
                shown = str(server.state())
            wrong = {"DATA_PLATFORM_CODE_TOKEN": TOKEN[:-1]}
            (tmp_path / "other").mkdir()
            with running(tmp_path / "other", remote.url(origin.bare), **wrong) as refused:
                refused.until(lambda: bool(refused.state().get("code", {}).get("unreachable")))
                assert "is not accepted" in refused.state()["code"]["unreachable"]
        finally:
            over.set()
            watcher.join()
    assert any("fetch" in line for line in command_lines)
    checkout = next((tmp_path / "state").rglob(f"commits/{second}"))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and checkout not in path.parents]
    kept = [path for path in files if TOKEN[:-1].encode() in path.read_bytes() and "git" not in path.parts[-4:]]
    assert [path for path in kept if origin.clone not in path.parents] == []
    assert TOKEN[:-1] not in shown
    assert not [line for line in command_lines if TOKEN[:-1] in line]


def test_a_run_in_flight_keeps_its_commit_and_its_backend(shared: Shared) -> None:
    server, seen = shared.server, shared.folder / "seen"
    server.wait_served(shared.origin.push_code("one"))
    shared.served()
    (old,) = server.state()["processes"]
    launch(shared.folder, server.port)
    server.until(lambda: seen.exists() and seen.read_text() == "one began")
    second = shared.origin.push_code("two")
    server.wait_served(second)
    time.sleep(2.0)
    assert old in server.state()["processes"]
    (shared.folder / "go").touch()
    server.until(lambda: seen.read_text() == "one ended")
    server.until(lambda: old not in server.state()["processes"])


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_lets_a_run_end_and_ctrl_c_ends_it(origin: Origin, tmp_path: Path, sign: signal.Signals) -> None:
    first = origin.push_code("one")
    seen = tmp_path / "seen"
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
        launch(tmp_path, server.port)
        server.until(lambda: seen.exists() and seen.read_text() == "one began")
        server.process.send_signal(sign)
        if sign == signal.SIGTERM:
            time.sleep(3.0)
            assert server.process.poll() is None
            (tmp_path / "go").touch()
        assert server.process.wait(patience(120)) == (0 if sign == signal.SIGTERM else 1)
    assert seen.read_text() == ("one ended" if sign == signal.SIGTERM else "one began")
    assert backends(tmp_path) == []


_SLOW = """\
import time
from pathlib import Path


def main():
    Path({mark!r}).touch()
    time.sleep(100)
"""


def test_ctrl_c_ends_a_check_that_is_being_made(origin: Origin, tmp_path: Path) -> None:
    first = origin.push_code("one")
    checking = tmp_path / "checking"
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
        origin.push_code("two", extra={"data_platform/cli.py": _SLOW.format(mark=str(checking))})
        server.until(checking.exists)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(patience(30)) == 1
    assert backends(tmp_path) == []


@dataclass(frozen=True)
class Pair:
    """A code server that follows code and models, each in a repository of its own."""

    code: Origin
    dbt: Origin
    server: Running

    @property
    def told(self) -> tuple[str, str]:
        """The commits which runs are told that are created now."""
        return self.server.told_commit(), self.server.told_commit("DATA_PLATFORM_DBT_COMMIT")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    code, dbt = Origin.at(folder / "code"), Origin.at(folder / "dbt")
    code.push_code("one")
    dbt.push(DBT | {"models/a.sql": "1"})
    settings = {"DATA_PLATFORM_DBT_URL": str(dbt.bare), "DATA_PLATFORM_DBT_REF": "main"}
    with running(folder, code.bare, **settings) as server:
        yield Pair(code, dbt, server)


def test_the_dbt_project_is_followed_in_its_own_repository(pair: Pair) -> None:
    project = pair.dbt.head
    pair.server.wait_served(project)
    assert pair.told == (pair.code.head, project)

    bad = pair.dbt.push({"dbt_project.yml": "nonsense\n"})
    assert "can't parse it: nonsense" in pair.server.wait_refused(bad)
    newer = pair.code.push_code("two")
    pair.server.wait_served(newer)
    assert pair.told == (newer, project)

    good = pair.dbt.push(DBT | {"models/a.sql": "2"})
    pair.server.wait_served(good)
    assert pair.told == (newer, good)


_FITS = """\
import os, sys
from pathlib import Path


def main():
    project = Path(os.environ["DATA_PLATFORM_DBT_PROJECT_DIR"])
    if sys.argv[1] == "check" and (project / "models" / "a.sql").read_text() != {fitting!r}:
        sys.exit("code and models don't fit")
    if sys.argv[1] == "dbt-manifest":
        (project / "target").mkdir(exist_ok=True)
"""


def test_code_and_models_that_need_each_other_are_served_when_both_are_there(pair: Pair) -> None:
    def push_code(fitting: str) -> str:
        return pair.code.push_code("one", extra={"data_platform/cli.py": _FITS.format(fitting=fitting)})

    def push_models(text: str) -> str:
        return pair.dbt.push(DBT | {"models/a.sql": text})

    pair.server.wait_served(push_models("old"))
    pair.server.wait_served(push_code("old"))

    code = push_code("new")
    assert "don't fit" in pair.server.wait_refused(code)
    models = push_models("new")
    pair.server.wait_served(code)
    assert pair.told == (code, models)

    models = push_models("newer")
    assert "don't fit" in pair.server.wait_refused(models)
    code = push_code("newer")
    pair.server.wait_served(code)
    assert pair.told == (code, models)


def test_a_disk_that_refuses_ends_no_code_server(shared: Shared) -> None:
    """A file stands where the checkouts' folder would be made: any user's, root's too, attempt fails."""
    server, first = shared.server, shared.served()
    (folder,) = (shared.folder / "state" / "code").glob("*/commits")
    aside = folder.rename(folder.with_name("aside"))
    folder.touch()
    second = shared.origin.push_code("two")
    server.until(lambda: bool(server.state()["code"]["unreachable"]))
    assert server.told_commit() == first
    folder.unlink()
    server.wait_served(second)
    shutil.rmtree(aside)


def test_a_commit_that_stands_in_its_own_way_is_refused(origin: Origin, tmp_path: Path) -> None:
    first = origin.push_code("one")
    with running(tmp_path, origin.bare) as server:
        server.wait_served(first)
        for extra in (
            {"dbt_project/dbt_project.yml": "x", "dbt_project/target": "a file"},
            {"requirements/base.txt": ""},
        ):
            bad = origin.push_code("two", extra=extra)
            if "requirements/base.txt" in extra:
                (origin.clone / "requirements/base.txt").unlink()
                bad = origin.push({"requirements/base.txt/no": "a folder"})
            assert server.wait_refused(bad)
        assert server.told_commit() == first


def test_a_port_that_is_taken_is_an_error_at_once(shared: Shared, tmp_path: Path) -> None:
    server, commit = shared.server, shared.served()
    command = [str(Path(sys.executable).with_name("data-platform")), "code-server", "--git", str(shared.origin.bare)]
    second = subprocess.run(
        [*command, "--ref", "main", "--port", str(server.port)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATA_PLATFORM_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=patience(180),
        check=False,
    )
    assert second.returncode == 1
    assert "Choose another port with --port" in second.stderr
    assert server.told_commit() == commit


def knock(server: Running, secret: str) -> str:
    """The status of a webhook call."""
    command = ["curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}"]
    command += ["--header", f"X-Gitlab-Token: {secret}", "--data", "{}", f"http://127.0.0.1:{server.web}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def backends(folder: Path) -> list[int]:
    """Process ids of Dagster code servers that work for the code server whose state is in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("DATA_PLATFORM_STATE_DIR", "").startswith(str(folder))
            leads = os.getsid(process.pid) == process.pid  # else it is a fork that a run starts from
            if ours and leads and "grpc" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def launch(folder: Path, port: int) -> None:
    """Launches the job through the code server's port, as the daemon does."""
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": {"host": "127.0.0.1", "port": port}}]}))
    command = [sys.executable, "-m", "dagster", "job", "launch", "--workspace", str(workspace), "--job", "publish"]
    environment = {"PATH": os.environ["PATH"], "DAGSTER_HOME": str(folder / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience(180), check=False)
    assert done.returncode == 0, done.stderr
