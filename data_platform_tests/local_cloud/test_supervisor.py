"""Bringing a whole local cloud up and down."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import asyncssh
import psutil
import pytest

from data_platform.environment import Settings
from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.local_cloud.clouds import (
    PARTS,
    by_name,
    client,
    come_up,
    environment,
    family,
    gone,
    kill,
    of_each,
)
from data_platform_tests.servers.local_cloud import DECLARED, private_cloud

pytestmark = pytest.mark.server

CLI = "from data_platform.local_cloud.commands import local_cloud; local_cloud()"


def command(state_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CLI, *arguments, "--state-dir", str(state_dir)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **variables},
    )


def test_the_settings_written_are_complete_and_closed_to_other_users(cloud: LocalCloud) -> None:
    settings = Settings.from_environment(environment(cloud)).require_endpoints()
    assert settings.environment == "local"
    assert settings.snowflake.private_key_path == cloud.layout.keys / "snowflake.p8"
    for secret in (cloud.layout.environment, cloud.layout.keys / "snowflake.p8"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(cloud.layout.keys.stat().st_mode) == 0o700


def test_a_second_up_starts_nothing_and_says_so(cloud: LocalCloud) -> None:
    before = {name: part.pid for name, part in by_name(cloud).items()}
    lines: list[str] = []
    cloud.up(lines.append)
    assert {name: part.pid for name, part in by_name(cloud).items()} == before
    assert lines[-1] == "Already running"


def test_everything_listens_on_loopback_only(cloud: LocalCloud) -> None:
    listening = [
        (name, connection.laddr)
        for name, connections in of_each(family(cloud), lambda one: (one.name(), one.net_connections("inet")))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    ]
    ports = {port for part in cloud.status() for port in part.ports.values()}
    assert {address.port for _, address in listening} >= ports
    assert {address.ip for _, address in listening} <= {"127.0.0.1", "::1"}, listening


def test_down_frees_the_ports_and_leaves_no_process_and_a_second_does_nothing(cloud: LocalCloud) -> None:
    ports = {port for part in cloud.status() for port in part.ports.values()}
    processes = family(cloud)
    cloud.down()
    assert all(gone(process) for process in processes)
    assert {part.state for part in cloud.status()} == {"down"}
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    lines: list[str] = []
    cloud.down(lines.append)
    assert lines == []


def test_ups_at_the_same_time_start_each_part_once(cloud: LocalCloud) -> None:
    cloud.down()
    failures: list[BaseException] = []

    def up() -> None:
        try:
            LocalCloud(cloud.spec).up()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    data = [str(cloud.layout.data(part)) for part in PARTS]
    servers = [p for p in psutil.process_iter() if set(data) & set(_arguments(p))]
    assert len(servers) == len(PARTS)


def test_two_clouds_that_want_the_same_ports_at_the_same_time_both_come_up(tmp_path: Path) -> None:
    one = private_cloud(tmp_path / "one")
    two = LocalCloud(replace(one.spec, state_dir=tmp_path / "two"))
    found: dict[str, dict[str, str]] = {}
    threads = [
        threading.Thread(target=lambda cloud=cloud: found.update({str(cloud.spec.state_dir): cloud.up()}))
        for cloud in (one, two)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 2, "both came up"
        ports = [port for cloud in (one, two) for part in by_name(cloud).values() for port in part.ports.values()]
        assert len(ports) == len(set(ports)) == 10
        assert come_up(one) and come_up(two)
    finally:
        one.down()
        two.down()


def test_reset_asks_and_then_leaves_only_the_host_key_behind_by_which_clients_know_the_server(tmp_path: Path) -> None:
    cloud = private_cloud(tmp_path)
    cloud.up()
    host_key = (tmp_path / "sftp_host_key").read_text()
    assert _host_key_of(cloud) == asyncssh.import_private_key(host_key).public_data
    (tmp_path / "not-ours.txt").write_text("kept")
    asked = command(tmp_path, "reset")
    assert asked.returncode != 0 and "Remove all data" in asked.stdout
    assert come_up(cloud)
    done = command(tmp_path, "reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cloud.lock", "not-ours.txt", "sftp_host_key"]
    assert (tmp_path / "sftp_host_key").read_text() == host_key


def _host_key_of(cloud: LocalCloud) -> bytes:
    """What an SFTP client is shown."""
    port = by_name(cloud)["aws"].ports["sftp"]
    key = asyncio.run(asyncssh.get_server_host_key("127.0.0.1", port))
    assert key is not None
    return key.public_data


def test_a_developers_own_cloud_settings_reach_no_part(cloud: LocalCloud) -> None:
    cloud.down()
    theirs = {
        "AWS_PROFILE": "does-not-exist",
        "AWS_CA_BUNDLE": "/does/not/exist",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "PGSERVER_POSTGRES_VERSION": "1",
        "PLANTED_SECRET": "must-not-leak",
    }
    done = command(cloud.layout.root, "up", **theirs)
    assert done.returncode == 0, done.stdout + done.stderr
    environments = of_each(family(cloud), psutil.Process.environ)
    assert len(environments) >= len(PARTS)
    assert not [variables for variables in environments if "PLANTED_SECRET" in variables]


def test_status_is_readable_by_people_and_programs(cloud: LocalCloud) -> None:
    assert come_up(cloud)
    done = command(cloud.layout.root, "status")
    assert done.returncode == 0
    assert all(part in done.stdout for part in PARTS)
    described = json.loads(command(cloud.layout.root, "status", "--json").stdout)
    assert described["up"] is True
    assert [part["state"] for part in described["parts"]] == ["up"] * len(PARTS)
    kill(cloud, "postgres")
    done = command(cloud.layout.root, "status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["up"] is False


def test_status_of_a_cloud_that_never_was_makes_nothing(tmp_path: Path) -> None:
    done = command(tmp_path / "nowhere", "status")
    assert done.returncode == 3
    assert not (tmp_path / "nowhere").exists()


def test_a_log_that_has_grown_long_is_put_aside_at_the_next_start(cloud: LocalCloud) -> None:
    cloud.down()
    log = cloud.layout.log("aws")
    with log.open("ab") as file:
        file.write(b"x" * 6_000_000)
    cloud.up()
    assert log.stat().st_size < 100_000
    assert log.with_name("aws.log.1").stat().st_size >= 6_000_000


def test_the_declared_partners_of_this_project_can_sign_in(cloud: LocalCloud) -> None:
    declared = {path.parent.name for path in DECLARED.glob("sources/partners/*/defs.yaml")}
    transfer = client(cloud, "transfer")
    server = transfer.list_servers()["Servers"][0]["ServerId"]
    users = {user["UserName"]: user for user in transfer.list_users(ServerId=server)["Users"]}
    assert users.keys() == declared
    assert all(user["SshPublicKeyCount"] >= 1 for user in users.values())


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
