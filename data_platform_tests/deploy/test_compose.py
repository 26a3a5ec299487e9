"""deploy/compose.yaml: what it names exists, every container is locked down, and no secret stands in it. Its schema is
`make check`'s to check."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_platform_tests.deploy.compose import FILE, compose, services, shell_words, unescaped
from data_platform_tests.deploy.dockerfile import ROOT, command_of, read_stages
from data_platform_tests.deploy.test_image import SECRET, assert_exists
from data_platform_tests.end_to_end.platform import wait_for

SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
STAGES = read_stages()
TEAM = ("code-server", "webserver", "daemon")
ON_LOCAL = ("local-code-server", "local-webserver", "local-daemon")


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] in ("10001:10001", "postgres")
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service)
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    assert "docker.sock" not in str(service)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_somewhere_to_write(name: str) -> None:
    mounted = [volume.split(":")[1] for volume in SERVICES[name]["volumes"]] if "volumes" in SERVICES[name] else []
    mounted += [mount.split(":")[0] for mount in SERVICES[name].get("tmpfs", [])]
    assert "/tmp" in mounted
    named = {volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])}
    assert named <= set(compose()["volumes"]), "a folder of the machine is mounted"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_what_is_built_and_started_exists(name: str) -> None:
    service = OURS[name]
    assert service["build"]["target"] in STAGES
    assert (FILE.parent / service["build"]["context"] / "Dockerfile").samefile(ROOT / "Dockerfile")
    command = service.get("command")
    if name != "local-cloud" and command is not None:
        assert_exists(command)
        for word in command:
            if word.endswith("workspace.yaml"):
                assert (ROOT / word).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert "stop_grace_period" in service
    if name.endswith("code-server"):
        assert "healthcheck" not in service, "the image's own is for the code server"
        return
    words = shell_words(service["healthcheck"]["test"])
    if words[0] in ("dagster-daemon", "data-platform"):
        assert_exists(words)
    elif words[0] == "python":
        compile(words[2], "<health check>", "exec")
        assert f":{service['command'][-1]}/server_info" in words[2]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_become_so(name: str) -> None:
    for awaited, how in SERVICES[name].get("depends_on", {}).items():
        assert awaited in SERVICES
        assert set(SERVICES[awaited].get("profiles", [])) <= set(SERVICES[name].get("profiles", []))
        assert how["condition"] in ("service_healthy", "service_started")


def test_no_secret_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            secret = SECRET.search(variable) or variable == "DAGSTER_POSTGRES_URL"
            assert not secret or re.fullmatch(r"/run/secrets/\w+|\$\{\w+.*\}", value), f"{name}: {variable}"
    text = FILE.read_text(encoding="utf-8")
    assert all(where == "" for where in re.findall(r"\$\{\w*PASSWORD:?-([^}]*)\}", text)), "a password has a default"
    assert re.search(r":\?", text) is None, "compose asks for it even where the service isn't started"
    for secret in compose()["secrets"].values():
        assert set(secret) == {"file"}, "secrets from variables can't be put into a read-only container"
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/.env", "deploy/snowflake.p8"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout.split() == ["deploy/.env", "deploy/snowflake.p8"]


def test_images_that_are_not_ours_are_pinned_by_digest() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", service["image"])


def test_the_team_s_containers_say_the_same_and_reach_the_code_server_by_its_name() -> None:
    first = SERVICES[TEAM[0]]
    for name in TEAM:
        for key in ("environment", "env_file", "secrets", "image", "build", "networks"):
            assert SERVICES[name][key] == first[key], f"{name}: {key}"
        assert "profiles" not in SERVICES[name]
    environment = first["environment"]
    assert environment["DATA_PLATFORM_CODE_SERVER_HOST"] == "code-server"
    port = environment["DATA_PLATFORM_CODE_SERVER_PORT"]
    assert port == command_of(STAGES, "platform", "EXPOSE").value
    (server,) = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    used = {source["env"] for source in server["grpc_server"].values() if isinstance(source, dict)}
    assert used == {"DATA_PLATFORM_CODE_SERVER_HOST", "DATA_PLATFORM_CODE_SERVER_PORT"}
    for name in (*TEAM, *ON_LOCAL):
        assert used <= set(SERVICES[name]["environment"])


def test_the_demo_reaches_loopback_only_and_carries_the_local_cloud_in_one_image_alone() -> None:
    for name in ON_LOCAL:
        assert SERVICES[name]["network_mode"] == "service:local-cloud"
        assert SERVICES[name]["environment"] == SERVICES["local-cloud"]["environment"]
        assert SERVICES[name]["environment"]["DATA_PLATFORM_ENVIRONMENT"] == "local"
        assert "secrets" not in SERVICES[name]
        assert "env_file" not in SERVICES[name]
    assert {name for name, service in OURS.items() if service["build"]["target"] == "local"} == {"local-cloud"}
    assert {name for name, service in SERVICES.items() if "local" in service.get("profiles", [])} == {
        *ON_LOCAL,
        "local-cloud",
    }


def test_the_database_is_reached_by_our_containers_only() -> None:
    assert compose()["networks"]["database"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert "ports" not in SERVICES["postgres"]


def test_the_local_cloud_is_asked_to_end_when_its_container_is(tmp_path: Path) -> None:
    """Its command, with a `data-platform` that writes down what it is asked: `up`, and at SIGTERM `down`, once."""
    asked = tmp_path / "asked"
    program = tmp_path / "data-platform"
    program.write_text(f'#!/bin/sh\necho "$1" >> {asked}\n', encoding="utf-8")
    program.chmod(0o755)
    entrypoint = SERVICES["local-cloud"]["entrypoint"]
    assert entrypoint[:3] == ["/usr/bin/tini", "-s", "--"]
    words: list[Any] = [*entrypoint[3:], *unescaped(SERVICES["local-cloud"]["command"])]
    words[-1] = words[-1].replace("/tmp/", f"{tmp_path}/")
    running = subprocess.Popen(words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, start_new_session=True)
    try:
        wait_for((tmp_path / "up").exists, 60, "it is up", every=0.02)
        assert running.poll() is None
        running.terminate()
        assert running.wait(120) == 0
    finally:
        os.killpg(running.pid, signal.SIGKILL)  # what else the container's end would end
    assert asked.read_text(encoding="utf-8").split() == ["up", "down"]
