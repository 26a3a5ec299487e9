"""What a local cloud survives: kills, lost and stale files, taken ports, hanging and broken parts."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from data_platform.local_cloud.processes import Record
from data_platform.local_cloud.supervisor import LocalCloud, LocalCloudError
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.local_cloud.clouds import (
    PARTS,
    by_name,
    client,
    come_up,
    environment,
    family,
    gone,
    kill,
    provisions,
    run_sql,
    saved,
    snowflake_session,
)
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.server

AWKWARD_KEYS = ["a", "a/b", "a//c", "é ü/100%+&=?#", "../up", "dots/./x", "folder/", "x" * 900, "q'\"<>日本"]


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_seen_and_only_that_part_is_started_again(cloud: LocalCloud, part: str) -> None:
    before = by_name(cloud)
    kill(cloud, part)
    assert {name: found.state for name, found in by_name(cloud).items()} == {
        name: "dead" if name == part else "up" for name in PARTS
    }
    assert provisions(cloud)
    after = by_name(cloud)
    assert {found.state for found in after.values()} == {"up"}
    assert {name for name in PARTS if after[name].pid != before[name].pid} == {part}
    assert {name: found.ports for name, found in after.items()} == {n: f.ports for n, f in before.items()}


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
    wait_for(lambda: '"kept"' in saved(cloud.layout, "secretsmanager"), 120, "the secret is saved")
    server = transfer.list_servers()["Servers"][0]["ServerId"]
    host_key = cloud.layout.sftp_host_key.read_text()

    kill(cloud, "aws")
    cloud.up()

    s3, transfer = client(cloud, "s3"), client(cloud, "transfer")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="killed/")["Contents"] == listed
    for (key, body), version in versions.items():
        found = s3.get_object(Bucket=bucket, Key=f"killed/{key}", VersionId=version)
        assert found["Body"].read() == body.encode(), key
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="killed/deleted")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert client(cloud, "secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "s"
    assert transfer.list_servers()["Servers"][0]["ServerId"] == server
    assert cloud.layout.sftp_host_key.read_text() == host_key


def test_a_kill_amid_uploads_keeps_every_one_that_was_acknowledged_and_tears_none(cloud: LocalCloud) -> None:
    bucket = environment(cloud)["DATA_PLATFORM_LANDING_BUCKET"]
    acknowledged: dict[str, bytes] = {}
    stopping = threading.Event()

    def versioning_saved() -> bool:
        state = saved(cloud.layout, "s3")
        return bool(state and json.loads(state)["payload"]["bucket_versioning"]["data"])

    # Else the bucket has no versions from the kill until `up` sets it again, and an upload in between replaces one.
    wait_for(versioning_saved, 120, "the bucket's versioning is saved")

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

    workers = [threading.Thread(target=upload, args=(number,), daemon=True) for number in range(4)]
    for worker in workers:
        worker.start()
    wait_for(lambda: len(acknowledged) > 20, 120, "more than twenty uploads", every=0.02)
    kill(cloud, "aws")
    stopping.set()
    cloud.up()
    for worker in workers:
        worker.join()

    s3 = client(cloud, "s3")
    for name, body in acknowledged.items():
        key, version = name.split("@")
        assert s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == body
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="storm/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
        assert found["ETag"].strip('"') == hashlib.md5(body).hexdigest()


def test_lost_keys_are_explained_at_once(cloud: LocalCloud) -> None:
    cloud.down()
    key = cloud.layout.keys / "postgres.postgres"
    lost = key.rename(key.with_suffix(".lost"))
    try:
        with pytest.raises(LocalCloudError, match="made with another password"):
            cloud.up()
    finally:
        lost.replace(key)


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
    assert come_up(cloud)


def test_a_part_whose_record_was_lost_is_not_run_twice(cloud: LocalCloud) -> None:
    lost = psutil.Process(by_name(cloud)["aws"].pid)
    cloud.layout.record("aws").unlink()
    cloud.up()
    assert gone(lost)
    assert come_up(cloud)


def test_a_part_that_hangs_is_started_again(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_platform.local_cloud.supervisor.UNRESPONSIVE_SECONDS", 1.0)
    monkeypatch.setattr("data_platform.local_cloud.processes.STOP_SECONDS", 1.0)
    hanging = psutil.Process(by_name(cloud)["snowflake"].pid)
    hanging.suspend()
    assert by_name(cloud)["snowflake"].state == "not answering"
    cloud.up()
    assert gone(hanging)
    assert come_up(cloud)


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
        assert any(f"another program uses port {port}" in line for line in lines)


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
        assert "postgres did not start: its process ended" in message
        assert str(cloud.layout.log("postgres")) in message
        assert "postgresql.conf" in message or "PG_VERSION" in message or "owner" in message
    finally:
        cloud.down()
