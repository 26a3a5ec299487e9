"""The contract of partners' SFTP, as AWS Transfer Family documents it for S3, against real SFTP clients."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import boto3
import pytest

from data_platform_tests.end_to_end.platform import wait_for

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.server

PARTNER, OTHER = "harbor_water", "meridian_parking"


@pytest.fixture
def s3(local_cloud: Mapping[str, str]) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=local_cloud["AWS_ENDPOINT_URL"],
        region_name=local_cloud["AWS_REGION"],
        aws_access_key_id=local_cloud["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=local_cloud["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def bucket(local_cloud: Mapping[str, str]) -> str:
    return local_cloud["DATA_PLATFORM_LANDING_BUCKET"]


@pytest.fixture(autouse=True)
def empty_landing(s3: S3Client, bucket: str) -> Iterator[None]:
    yield
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


class Client:
    """OpenSSH's `sftp`, signed in as a partner, run on a batch of commands."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def command(self, *further: str, user: str = PARTNER, key: Path | None = None) -> list[str]:
        keys = Path(self.environment["DATA_PLATFORM_STATE_DIR"]) / "keys" / "partners"
        options = {
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "PreferredAuthentications": "publickey",
            "BatchMode": "yes",
        }
        return [
            *("sftp", "-F", "none", "-b", "-", "-P", self.environment["SFTP_PORT"], *further),
            *("-i", str(key or keys / user)),
            *(part for option in options.items() for part in ("-o", "=".join(option))),
            f"{user}@{self.environment['SFTP_HOST']}",
        ]

    def run(self, *commands: str, user: str = PARTNER, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(user=user, key=key),
            input="\n".join(commands),
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=300,
        )


@pytest.fixture
def sftp(local_cloud: Mapping[str, str], tmp_path: Path) -> Client:
    return Client(local_cloud, tmp_path)


def names(output: str) -> list[str]:
    """What `sftp` printed, without the commands it repeats."""
    return [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("sftp>")]


def test_a_partner_sees_its_two_folders_and_nothing_else(sftp: Client) -> None:
    done = sftp.run("pwd", "ls -1 /")
    assert done.returncode == 0, done.stderr
    assert names(done.stdout) == ["Remote working directory: /", "/inbound", "/receipts"]


def test_the_folders_are_there_and_empty_before_the_first_delivery(sftp: Client) -> None:
    done = sftp.run("cd /inbound", "ls -1", "cd /receipts", "ls -1")
    assert (done.returncode, names(done.stdout)) == (0, [])


def test_a_file_put_in_inbound_is_an_object_below_the_partners_prefix(sftp: Client, s3: S3Client, bucket: str) -> None:
    (sftp.folder / "readings.csv").write_bytes(b"meter,value\nM1,2\n")
    done = sftp.run("put readings.csv /inbound/readings.csv", "ls -l /inbound")
    assert done.returncode == 0, done.stderr
    assert "17" in names(done.stdout)[-1].split()
    found = s3.get_object(Bucket=bucket, Key=f"inbound/{PARTNER}/readings.csv")
    assert found["Body"].read() == b"meter,value\nM1,2\n"


def test_each_upload_of_a_name_is_a_version_of_its_own(sftp: Client, s3: S3Client, bucket: str) -> None:
    for text in ("first", "second"):
        (sftp.folder / "a.csv").write_text(text)
        assert sftp.run("put a.csv /inbound/a.csv").returncode == 0
    versions = s3.list_object_versions(Bucket=bucket, Prefix=f"inbound/{PARTNER}/a.csv")["Versions"]
    bodies = [s3.get_object(Bucket=bucket, Key=v["Key"], VersionId=v["VersionId"])["Body"].read() for v in versions]
    assert len({version["VersionId"] for version in versions}) == 2
    assert bodies == [b"second", b"first"]


def test_a_file_uploaded_under_another_name_and_renamed_is_there_once(sftp: Client, s3: S3Client, bucket: str) -> None:
    (sftp.folder / "a.csv").write_text("whole")
    done = sftp.run("put a.csv /inbound/a.csv.part", "rename /inbound/a.csv.part /inbound/a.csv", "ls -1 /inbound")
    assert done.returncode == 0, done.stderr
    assert names(done.stdout) == ["/inbound/a.csv"]
    assert s3.get_object(Bucket=bucket, Key=f"inbound/{PARTNER}/a.csv")["Body"].read() == b"whole"


def test_a_large_file_arrives_unchanged(sftp: Client, s3: S3Client, bucket: str) -> None:
    content = bytes(range(256)) * 100_000
    (sftp.folder / "large.bin").write_bytes(content)
    assert sftp.run("put large.bin /inbound/").returncode == 0
    assert s3.get_object(Bucket=bucket, Key=f"inbound/{PARTNER}/large.bin")["Body"].read() == content


@pytest.mark.parametrize("name", ["été & naïve.csv", "a b#c%20?.csv", "..csv", "x" * 240, "100%+1.csv", "a\\b.csv"])
def test_a_name_of_any_characters_is_the_objects_name(
    local_cloud: Mapping[str, str], s3: S3Client, bucket: str, name: str
) -> None:
    async def deliver() -> list[str]:
        async with signed_in(local_cloud) as connection, connection.start_sftp_client() as client:
            async with client.open(f"/inbound/{name}", "wb") as file:
                await file.write(b"x")
            return sorted(str(found) for found in await client.listdir("/inbound"))

    assert name in asyncio.run(deliver())
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"inbound/{PARTNER}/{name}"]


def test_a_receipt_can_be_fetched_with_the_time_it_was_written(sftp: Client, s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=f"receipts/{PARTNER}/a.csv.1.json", Body=b"{}")
    done = sftp.run("get -p /receipts/a.csv.1.json", "ls -1 /receipts")
    assert done.returncode == 0, done.stderr
    assert (sftp.folder / "a.csv.1.json").read_bytes() == b"{}"
    head = s3.head_object(Bucket=bucket, Key=f"receipts/{PARTNER}/a.csv.1.json")
    written = head["LastModified"].timestamp()
    assert (sftp.folder / "a.csv.1.json").stat().st_mtime == pytest.approx(written, abs=1)


@pytest.mark.parametrize(
    "command",
    [
        "put a.csv /receipts/a.csv",
        "put a.csv /a.csv",
        "put a.csv /elsewhere/a.csv",
        "rm /receipts/r.json",
        "rename /receipts/r.json /inbound/r.json",
        "rename /inbound/mine.csv /receipts/mine.csv",
        "mkdir /receipts/new",
        "mkdir /new",
        "rmdir /inbound",
        "rename /inbound /other",
        "ln -s /receipts/r.json /inbound/link",
        "ln /receipts/r.json /inbound/link",
        f"get /inbound/../../{OTHER}/theirs.csv",
        f"get /inbound/../{OTHER}/theirs.csv",
        f"get ../../inbound/{OTHER}/theirs.csv",
        f"ls /inbound/../../inbound/{OTHER}",
        "reput a.csv /inbound/mine.csv",
    ],
)
def test_what_is_not_a_partners_to_do_is_refused(sftp: Client, s3: S3Client, bucket: str, command: str) -> None:
    (sftp.folder / "a.csv").write_text("longer than what is there")
    s3.put_object(Bucket=bucket, Key=f"receipts/{PARTNER}/r.json", Body=b"{}")
    s3.put_object(Bucket=bucket, Key=f"inbound/{PARTNER}/mine.csv", Body=b"mine")
    s3.put_object(Bucket=bucket, Key=f"inbound/{OTHER}/theirs.csv", Body=b"theirs")
    before = {found["Key"]: found["ETag"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    done = sftp.run(command)
    assert done.returncode != 0
    assert "theirs" not in "".join(names(done.stdout))
    assert not (sftp.folder / "theirs.csv").exists()
    after = {found["Key"]: found["ETag"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert after == before


def test_dot_dot_ends_at_the_partners_own_root(sftp: Client) -> None:
    done = sftp.run("cd /inbound", "cd ../../..", "pwd", "ls -1")
    assert names(done.stdout) == ["Remote working directory: /", "inbound", "receipts"]


def test_another_partners_key_does_not_sign_in(sftp: Client, local_cloud: Mapping[str, str]) -> None:
    other = Path(local_cloud["DATA_PLATFORM_STATE_DIR"]) / "keys" / "partners" / OTHER
    done = sftp.run("ls /", key=other)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_an_unknown_key_or_user_does_not_sign_in(sftp: Client) -> None:
    stranger = sftp.folder / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    for user in (PARTNER, "nobody_here"):
        done = sftp.run("ls /", user=user, key=stranger)
        assert done.returncode != 0
        assert "Permission denied" in done.stderr


@pytest.mark.parametrize("request_kind", ["shell", "command", "forward"])
def test_signing_in_gives_files_only(local_cloud: Mapping[str, str], request_kind: str) -> None:
    async def ask() -> None:
        async with signed_in(local_cloud) as connection:
            if request_kind == "forward":
                await connection.open_connection("127.0.0.1", int(local_cloud["SNOWFLAKE_PORT"]))
            else:
                await connection.create_process("id" if request_kind == "command" else None)

    with pytest.raises(asyncssh.ChannelOpenError):
        asyncio.run(ask())


def versions(s3: S3Client, bucket: str, name: str) -> tuple[list[int], int]:
    """The sizes of a file's versions in inbound, and how many delete markers it has."""
    found = s3.list_object_versions(Bucket=bucket, Prefix=f"inbound/{PARTNER}/{name}")
    return [version["Size"] for version in found.get("Versions", [])], len(found.get("DeleteMarkers", []))


def sent(pid: int, file: Path) -> int:
    """How far a process has read a file that it sends."""
    with contextlib.suppress(FileNotFoundError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if descriptor.resolve() == file.resolve():
                return int(Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split()[1])
    return 0


def is_deleted(s3: S3Client, bucket: str, name: str) -> bool:
    sizes, markers = versions(s3, bucket, name)
    return len(sizes) == 1 == markers


def test_an_upload_that_a_lost_connection_cuts_off_is_stored_and_deleted(
    local_cloud: Mapping[str, str], s3: S3Client, bucket: str
) -> None:
    # AWS Transfer calls it a partial upload: the file was open when the session disconnected.
    async def break_off() -> None:
        connection = await signed_in(local_cloud)
        client = await connection.start_sftp_client()
        file = await client.open("/inbound/cut.csv", "wb")
        await file.write(b"half of it")
        connection.abort()
        await connection.wait_closed()

    asyncio.run(break_off())
    wait_for(lambda: is_deleted(s3, bucket, "cut.csv"), 120, "the partial upload is deleted", every=0.1)
    assert versions(s3, bucket, "cut.csv")[0] == [len(b"half of it")]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=f"inbound/{PARTNER}/cut.csv")


def test_a_client_killed_within_a_large_file_leaves_nothing_to_load(
    sftp: Client, local_cloud: Mapping[str, str], s3: S3Client, bucket: str
) -> None:
    file = sftp.folder / "large.csv"
    file.write_bytes(b"1,2.50\n" * 6_000_000)
    slowly = sftp.command("-l", "80000")  # 10 MB a second
    with subprocess.Popen(slowly, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=sftp.folder) as client:
        assert client.stdin is not None
        client.stdin.write(b"put large.csv /inbound/large.csv\n")
        client.stdin.flush()
        wait_for(lambda: sent(client.pid, file) > 4_000_000, 60, "some MB of it are sent", every=0.05)
        client.kill()
    wait_for(lambda: is_deleted(s3, bucket, "large.csv"), 120, "the partial upload is deleted", every=0.1)
    (size,), _ = versions(s3, bucket, "large.csv")
    assert 0 < size < file.stat().st_size
    file.write_bytes(b"1,2.50\n" * 100_000)
    assert sftp.run("put large.csv /inbound/large.csv").returncode == 0
    assert s3.head_object(Bucket=bucket, Key=f"inbound/{PARTNER}/large.csv")["ContentLength"] == 700_000


def test_a_client_that_goes_after_it_closed_the_file_leaves_it(
    local_cloud: Mapping[str, str], s3: S3Client, bucket: str
) -> None:
    async def close_and_go() -> None:
        connection = await signed_in(local_cloud)
        client = await connection.start_sftp_client()
        async with client.open("/inbound/whole.csv", "wb") as file:
            await file.write(b"all of it")
        connection.abort()
        await connection.wait_closed()

    asyncio.run(close_and_go())
    assert versions(s3, bucket, "whole.csv") == ([len(b"all of it")], 0)


def test_nothing_is_visible_before_the_client_closes_the_file(
    local_cloud: Mapping[str, str], s3: S3Client, bucket: str
) -> None:
    async def look_meanwhile() -> int:
        async with (
            signed_in(local_cloud) as connection,
            connection.start_sftp_client() as client,
            client.open("/inbound/slow.csv", "wb") as file,
        ):
            await file.write(b"part one")
            return s3.list_objects_v2(Bucket=bucket)["KeyCount"]

    assert asyncio.run(look_meanwhile()) == 0


def test_put_keeping_times_and_modes_works_though_s3_has_none(sftp: Client) -> None:
    (sftp.folder / "a.csv").write_text("x")
    done = sftp.run("put -p a.csv /inbound/a.csv", "chmod 600 /inbound/a.csv")
    assert done.returncode == 0, done.stderr


def test_a_removed_file_keeps_its_version(sftp: Client, s3: S3Client, bucket: str) -> None:
    (sftp.folder / "a.csv").write_text("x")
    assert sftp.run("put a.csv /inbound/a.csv", "rm /inbound/a.csv").returncode == 0
    found = s3.list_object_versions(Bucket=bucket, Prefix=f"inbound/{PARTNER}/a.csv")
    assert (len(found["Versions"]), len(found["DeleteMarkers"])) == (1, 1)


def test_folders_within_inbound_are_prefixes(sftp: Client, s3: S3Client, bucket: str) -> None:
    (sftp.folder / "a.csv").write_text("x")
    done = sftp.run("mkdir /inbound/2026", "put a.csv /inbound/2026/a.csv", "ls -1 /inbound", "ls -1 /inbound/2026")
    assert done.returncode == 0, done.stderr
    assert names(done.stdout) == ["/inbound/2026", "/inbound/2026/a.csv"]
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"inbound/{PARTNER}/2026/", f"inbound/{PARTNER}/2026/a.csv"]
    assert sftp.run("rmdir /inbound/2026").returncode != 0
    assert sftp.run("rm /inbound/2026/a.csv", "rmdir /inbound/2026").returncode == 0


def signed_in(environment: Mapping[str, str], user: str = PARTNER) -> Any:
    """An asyncssh connection as a partner."""
    key = Path(environment["DATA_PLATFORM_STATE_DIR"]) / "keys" / "partners" / user
    return asyncssh.connect(
        environment["SFTP_HOST"],
        int(environment["SFTP_PORT"]),
        username=user,
        client_keys=[str(key)],
        known_hosts=None,
        agent_path=None,
        config=None,
    )
