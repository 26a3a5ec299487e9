"""Bringing a whole local cloud up and down, and what it survives."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg2
import pytest
import snowflake.connector
from botocore.exceptions import BotoCoreError, ClientError
from dotenv import dotenv_values

from data_platform.environment import Settings
from data_platform.local_cloud.processes import Record
from data_platform.local_cloud.status import PartStatus
from data_platform.local_cloud.supervisor import LocalCloud, LocalCloudError
from data_platform_tests.servers.local_cloud import DECLARED, private_cloud

pytestmark = pytest.mark.server

PARTS = ("aws", "snowflake", "postgres")
CLI = "from data_platform.local_cloud.commands import local_cloud; local_cloud()"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = private_cloud(tmp_path_factory.mktemp("supervised"))
    yield cloud
    cloud.down()


@pytest.fixture
def cloud(shared: LocalCloud) -> LocalCloud:
    """A cloud that is up, whatever the test before did to it."""
    shared.up()
    return shared


def by_name(cloud: LocalCloud) -> dict[str, PartStatus]:
    return {part.part: part for part in cloud.status()}


def family(cloud: LocalCloud) -> list[psutil.Process]:
    """Every process of the cloud that runs."""
    mains = [psutil.Process(part.pid) for part in cloud.status() if part.pid]
    return [process for main in mains for process in (main, *main.children(recursive=True))]


def gone(process: psutil.Process) -> bool:
    """Whether it has ended; a zombie has, its parent (this test) has only not asked after it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def kill(cloud: LocalCloud, part: str) -> None:
    process = psutil.Process(by_name(cloud)[part].pid)
    process.kill()
    process.wait(10)


def environment(cloud: LocalCloud) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(cloud.layout.environment).items()}


def client(cloud: LocalCloud, service: str) -> Any:
    variables = environment(cloud)
    made: Any = boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    return made


def command(state_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CLI, *arguments, "--state-dir", str(state_dir)],
        capture_output=True,
        text=True,
        timeout=120,
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
    assert lines[-1].startswith("already up")


def test_everything_listens_on_loopback_only(cloud: LocalCloud) -> None:
    listening = [
        (process.name(), connection.laddr)
        for process in family(cloud)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    ]
    ports = {port for part in cloud.status() for port in part.ports.values()}
    assert {address.port for _, address in listening} >= ports
    assert {address.ip for _, address in listening} <= {"127.0.0.1", "::1"}, listening


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_seen_and_only_that_part_is_started_again(cloud: LocalCloud, part: str) -> None:
    before = by_name(cloud)
    kill(cloud, part)
    assert {name: found.state for name, found in by_name(cloud).items()} == {
        name: "dead" if name == part else "up" for name in PARTS
    }
    cloud.up()
    after = by_name(cloud)
    assert {found.state for found in after.values()} == {"up"}
    assert {name for name in PARTS if after[name].pid != before[name].pid} == {part}
    assert {name: found.ports for name, found in after.items()} == {n: f.ports for n, f in before.items()}


AWKWARD_KEYS = ["a", "a/b", "a//c", "é ü/100%+&=?#", "../up", "dots/./x", "folder/", "x" * 900, "q'\"<>日本"]


def test_a_kill_of_aws_loses_no_object_version_secret_or_sign_in(cloud: LocalCloud) -> None:
    bucket = environment(cloud)["DATA_PLATFORM_LANDING_BUCKET"]
    s3, transfer = client(cloud, "s3"), client(cloud, "transfer")
    versions = {
        (key, body): s3.put_object(Bucket=bucket, Key=f"killed/{key}", Body=body.encode())["VersionId"]
        for key in AWKWARD_KEYS
        for body in ("first", "second")
    }
    s3.put_object(Bucket=bucket, Key="killed/deleted", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="killed/deleted")
    client(cloud, "secretsmanager").create_secret(Name="kept", SecretString="s")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="killed/")["Contents"]
    time.sleep(3)  # longer than between two saves of secrets
    server = transfer.list_servers()["Servers"][0]["ServerId"]
    host_key = (cloud.layout.data("aws") / "state" / "transfer-host-key").read_text()

    kill(cloud, "aws")
    cloud.up()

    assert s3.list_objects_v2(Bucket=bucket, Prefix="killed/")["Contents"] == listed
    for (key, body), version in versions.items():
        found = s3.get_object(Bucket=bucket, Key=f"killed/{key}", VersionId=version)
        assert found["Body"].read() == body.encode(), key
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="killed/deleted")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert client(cloud, "secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "s"
    assert transfer.list_servers()["Servers"][0]["ServerId"] == server
    assert (cloud.layout.data("aws") / "state" / "transfer-host-key").read_text() == host_key


def test_a_kill_amid_uploads_keeps_every_one_that_was_acknowledged_and_tears_none(cloud: LocalCloud) -> None:
    bucket = environment(cloud)["DATA_PLATFORM_LANDING_BUCKET"]
    s3 = client(cloud, "s3")
    acknowledged: dict[str, bytes] = {}
    stopping = threading.Event()

    def upload(worker: int) -> None:
        mine = client(cloud, "s3")
        for number in itertools.count():
            key, body = f"storm/{worker}/{number % 5}", f"{worker} {number}".encode() * 500
            try:
                version = mine.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
            except (BotoCoreError, ClientError):
                return
            acknowledged[f"{key}@{version}"] = body
            if stopping.is_set():
                return

    workers = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    kill(cloud, "aws")
    stopping.set()
    cloud.up()
    for worker in workers:
        worker.join()

    assert len(acknowledged) > 20
    for name, body in acknowledged.items():
        key, version = name.split("@")
        assert s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == body
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="storm/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
        assert found["ETag"].strip('"') == hashlib.md5(body).hexdigest()


def test_lost_keys_are_explained_at_once(tmp_path: Path) -> None:
    cloud = private_cloud(tmp_path)
    try:
        cloud.up()
        cloud.down()
        (cloud.layout.keys / "postgres.postgres").unlink()
        with pytest.raises(LocalCloudError, match="made with another password"):
            cloud.up()
    finally:
        cloud.down()


def test_data_is_kept_from_one_start_to_the_next_and_through_kills(cloud: LocalCloud) -> None:
    with snowflake_session(cloud) as session:
        session.cursor().execute("create schema if not exists DATA_PLATFORM.KEPT")
        session.cursor().execute("create or replace table DATA_PLATFORM.KEPT.T as select 7 as N")
    run_sql(cloud, "create table kept (n int)", "insert into kept values (7)")
    for interruption in (lambda: cloud.down(), lambda: [kill(cloud, part) for part in PARTS]):
        interruption()
        cloud.up()
        with snowflake_session(cloud) as session:
            assert session.cursor().execute("select N from DATA_PLATFORM.KEPT.T").fetchall() == [(7,)]
        assert run_sql(cloud, "select n from kept") == [(7,)]


def test_down_frees_the_ports_and_leaves_no_process(cloud: LocalCloud) -> None:
    ports = {port for part in cloud.status() for port in part.ports.values()}
    processes = family(cloud)
    cloud.down()
    assert all(gone(process) for process in processes)
    assert {part.state for part in cloud.status()} == {"down"}
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_down_when_nothing_runs_does_nothing(cloud: LocalCloud) -> None:
    cloud.down()
    lines: list[str] = []
    cloud.down(lines.append)
    assert lines == []


def test_down_reaches_the_workers_of_a_killed_postgres(cloud: LocalCloud) -> None:
    processes = family(cloud)
    os.kill(by_name(cloud)["postgres"].pid or 0, signal.SIGKILL)
    cloud.down()
    assert all(gone(process) for process in processes)


def test_a_process_id_given_to_another_program_is_not_taken_for_the_part(cloud: LocalCloud) -> None:
    kill(cloud, "snowflake")
    record = Record.load(cloud.layout.record("snowflake"))
    assert record is not None
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        replace(record, pid=bystander.pid).save(cloud.layout.record("snowflake"))
        assert by_name(cloud)["snowflake"].state == "dead"
        cloud.up()
        cloud.down()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_stale_postmaster_file_with_a_living_process_id_does_not_stop_postgres(cloud: LocalCloud) -> None:
    cloud.down()
    lock = cloud.layout.data("postgres") / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n1\n1\n\n\n\nready\n")
    cloud.up()
    assert by_name(cloud)["postgres"].state == "up"


def test_a_part_whose_record_was_lost_is_not_run_twice(cloud: LocalCloud) -> None:
    lost = psutil.Process(by_name(cloud)["aws"].pid)
    cloud.layout.record("aws").unlink()
    cloud.up()
    assert gone(lost)
    assert by_name(cloud)["aws"].state == "up"


def test_a_part_that_hangs_is_started_again(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_platform.local_cloud.supervisor.UNRESPONSIVE_SECONDS", 1.0)
    monkeypatch.setattr("data_platform.local_cloud.processes.STOP_SECONDS", 1.0)
    hanging = psutil.Process(by_name(cloud)["snowflake"].pid)
    hanging.suspend()
    assert by_name(cloud)["snowflake"].state == "not answering"
    cloud.up()
    assert gone(hanging)
    assert by_name(cloud)["snowflake"].state == "up"


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


def test_a_taken_port_is_replaced_by_a_free_one_with_a_note(cloud: LocalCloud) -> None:
    cloud.down()
    port = by_name(cloud)["snowflake"].ports["snowflake"]
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        lines: list[str] = []
        variables = cloud.up(lines.append)
        assert variables["SNOWFLAKE_PORT"] != str(port)
        assert any(f"port {port} is taken" in line for line in lines)


def test_when_aws_moves_to_another_port_snowflake_is_told(cloud: LocalCloud) -> None:
    old = by_name(cloud)
    kill(cloud, "aws")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", old["aws"].ports["aws"]))
        squatter.listen()
        variables = cloud.up()
    assert by_name(cloud)["snowflake"].pid != old["snowflake"].pid
    assert variables["AWS_ENDPOINT_URL"] in psutil.Process(by_name(cloud)["snowflake"].pid).cmdline()


def test_a_part_that_does_not_start_is_explained_by_the_end_of_its_log(tmp_path: Path) -> None:
    cloud = private_cloud(tmp_path)
    broken = cloud.layout.data("postgres")
    broken.mkdir(parents=True, mode=0o700)
    (broken / "PG_VERSION").write_text("7\n")
    try:
        with pytest.raises(LocalCloudError) as raised:
            cloud.up()
        message = str(raised.value)
        assert "postgres did not come up: its process ended" in message
        assert str(cloud.layout.log("postgres")) in message
        assert "postgresql.conf" in message or "PG_VERSION" in message or "owner" in message
    finally:
        cloud.down()


def test_reset_asks_and_then_leaves_nothing_behind(tmp_path: Path) -> None:
    cloud = private_cloud(tmp_path)
    cloud.up()
    (tmp_path / "not-ours.txt").write_text("kept")
    asked = command(tmp_path, "reset")
    assert asked.returncode != 0 and "Remove all data" in asked.stdout
    assert {part.state for part in cloud.status()} == {"up"}
    done = command(tmp_path, "reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cloud.lock", "not-ours.txt"]


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
    for process in family(cloud):
        assert "PLANTED_SECRET" not in process.environ()


def test_status_is_readable_by_people_and_programs(cloud: LocalCloud) -> None:
    done = command(cloud.layout.root, "status")
    assert done.returncode == 0
    assert all(part in done.stdout for part in PARTS)
    described = json.loads(command(cloud.layout.root, "status", "--json").stdout)
    assert described["up"] is True
    assert [part["state"] for part in described["parts"]] == ["up"] * 3
    kill(cloud, "postgres")
    done = command(cloud.layout.root, "status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["up"] is False


def test_status_of_a_cloud_that_never_was_makes_nothing(tmp_path: Path) -> None:
    done = command(tmp_path / "nowhere", "status")
    assert done.returncode == 3
    assert not (tmp_path / "nowhere").exists()


def test_a_partner_removed_from_the_declarations_signs_in_no_more(tmp_path: Path) -> None:
    for partner in ("staying", "leaving"):
        folder = tmp_path / "defs" / "sources" / "partners" / partner
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text("type: data_platform.components.SftpPartner\nattributes: {}\n")
    cloud = private_cloud(tmp_path / "state", tmp_path / "defs")
    try:
        cloud.up()
        transfer = client(cloud, "transfer")
        server = transfer.list_servers()["Servers"][0]["ServerId"]
        before = transfer.describe_user(ServerId=server, UserName="staying")
        (tmp_path / "defs" / "sources" / "partners" / "leaving" / "defs.yaml").unlink()
        cloud.up()
        assert [user["UserName"] for user in transfer.list_users(ServerId=server)["Users"]] == ["staying"]
        after = transfer.describe_user(ServerId=server, UserName="staying")
        assert after["User"]["SshPublicKeys"] == before["User"]["SshPublicKeys"]
    finally:
        cloud.down()


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


def snowflake_session(cloud: LocalCloud) -> Any:
    variables = environment(cloud)
    return snowflake.connector.connect(
        host=variables["SNOWFLAKE_HOST"],
        port=int(variables["SNOWFLAKE_PORT"]),
        protocol="http",
        account=variables["SNOWFLAKE_ACCOUNT"],
        user=variables["SNOWFLAKE_USER"],
        private_key_file=variables["SNOWFLAKE_PRIVATE_KEY_PATH"],
        database=variables["SNOWFLAKE_DATABASE"],
        network_timeout=20,
    )


def run_sql(cloud: LocalCloud, *statements: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(environment(cloud)["DAGSTER_POSTGRES_URL"])
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()
