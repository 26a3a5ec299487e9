"""Dropping files over SFTP: into the local cloud's, and into plain SFTP servers with manners of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import boto3
import pytest

from data_platform.local_cloud.demo.drop import UnknownHost, drop, drop_wave
from data_platform.local_cloud.demo.drop_log import DropLog
from data_platform.local_cloud.demo.key import AnswerKey, Drop

pytestmark = pytest.mark.server

PARTNER = "harbor_water"


class Names(list[str]):
    """What a server was asked to open or rename, in order."""


class Plain(asyncssh.SFTPServer):
    """OpenSSH's manners: the posix-rename extension."""

    def __init__(self, channel: asyncssh.SSHServerChannel, root: Path, seen: Names) -> None:
        super().__init__(channel, chroot=str(root).encode())
        self.seen = seen

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        self.seen.append(path.decode())
        return super().open(path, pflags, attrs)


class WithoutPosixRename(Plain):
    """Only the protocol's own rename, which refuses a name that is taken."""

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("no such extension")

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if Path(self.map_path(newpath).decode()).exists():
            raise asyncssh.SFTPFailure("exists")
        super().rename(oldpath, newpath)


class Server:
    """An SFTP server in a thread; `root` is what a client sees."""

    def __init__(self, root: Path, kind: type[Plain] = Plain) -> None:
        self.inbound, self.kind, self.seen = root / "inbound", kind, Names()
        self.inbound.mkdir(parents=True)
        self.root, self.port = root, 0
        self.client_key = root.parent / "client_key"
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(self.client_key))
        self._authorized = asyncssh.import_authorized_keys(key.export_public_key().decode())

    @contextmanager
    def running(self) -> Iterator[Server]:
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def serve() -> None:
            host_key = asyncssh.generate_private_key("ssh-ed25519")
            acceptor = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_host_keys=[host_key],
                authorized_client_keys=self._authorized,
                sftp_factory=lambda channel: self.kind(channel, self.root, self.seen),
            )
            self.port = acceptor.get_port()
            ready.set()
            await stop.wait()
            acceptor.close()
            await acceptor.wait_closed()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(120)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server").running() as running:
        yield running


def files(folder: Path, **contents: str) -> list[list[Path]]:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [[folder / name] for name in contents]


def send(server: Server, deliveries: list[list[Path]], host_key: Path, **options: object) -> list[str]:
    arrived: list[str] = []
    drop(
        deliveries,
        PARTNER,
        "127.0.0.1",
        server.port,
        server.client_key,
        host_key=host_key,
        on_progress=lambda file: arrived.append(file.name),
        **options,  # type: ignore[arg-type]
    )
    return arrived


@pytest.mark.parametrize("kind", [Plain, WithoutPosixRename])
def test_a_file_appears_under_its_name_when_it_is_whole(tmp_path: Path, kind: type[Plain]) -> None:
    with Server(tmp_path / "server", kind).running() as server:
        deliveries = files(tmp_path / "out", a="first", b="other")
        assert sorted(send(server, deliveries, tmp_path / "host.pub")) == ["a", "b"]
        files(tmp_path / "out", a="second")
        send(server, deliveries[:1], tmp_path / "host.pub")
        assert {path.name: path.read_text() for path in server.inbound.iterdir()} == {"a": "second", "b": "other"}
        assert set(server.seen) == {"/inbound/a.part", "/inbound/b.part"}


def test_a_manifest_is_sent_after_its_file(tmp_path: Path, server: Server) -> None:
    (data,), (manifest,) = files(tmp_path / "out", data="1", manifest="{}")
    assert send(server, [[data, manifest]], tmp_path / "host.pub") == ["data"]
    assert server.seen == ["/inbound/data.part", "/inbound/manifest.part"]


def test_a_server_met_before_must_show_the_same_key(tmp_path: Path, server: Server) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_public_key(str(tmp_path / "host.pub"))
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        send(server, files(tmp_path / "out", a="1"), tmp_path / "host.pub")
    assert server.seen == []


def test_a_server_elsewhere_is_not_trusted_at_first_sight(tmp_path: Path) -> None:
    with pytest.raises(UnknownHost, match="save it there"):
        drop(files(tmp_path / "out", a="1"), PARTNER, "192.0.2.1", 22, tmp_path / "key", host_key=tmp_path / "host.pub")


def test_another_key_than_the_partners_is_refused(tmp_path: Path, server: Server) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(server.client_key))
    with pytest.raises(asyncssh.PermissionDenied):
        send(server, files(tmp_path / "out", a="1"), tmp_path / "host.pub")


def test_a_log_cut_short_by_a_kill_forgets_only_its_last_file(tmp_path: Path, demo: tuple[Path, AnswerKey]) -> None:
    drops = demo[1].drops[:3]
    log = DropLog(tmp_path / "dropped.jsonl")
    for each in drops:
        log.note(each)
    text = (tmp_path / "dropped.jsonl").read_text()
    (tmp_path / "dropped.jsonl").write_text(text[:-10])
    assert log.undropped(drops) == [drops[2]]
    log.note(drops[2])
    assert log.undropped(drops) == []


def test_a_file_with_other_content_than_the_one_dropped_is_due(tmp_path: Path, demo: tuple[Path, AnswerKey]) -> None:
    one = demo[1].drops[0]
    log = DropLog(tmp_path / "dropped.jsonl")
    log.note(one)
    changed = one.model_copy(update={"sha256": "0" * 64})
    assert log.undropped([one, changed]) == [changed]


def test_a_wave_is_dropped_once_into_the_local_cloud_in_each_round(
    local_cloud: Mapping[str, str], demo: tuple[Path, AnswerKey], tmp_path: Path
) -> None:
    folder, key = demo
    wave, state = key.waves[1], Path(local_cloud["DATA_PLATFORM_STATE_DIR"])
    dropped = list[Drop]()

    def go(round_: int) -> int:
        return drop_wave(
            wave,
            folder,
            host=local_cloud["SFTP_HOST"],
            port=int(local_cloud["SFTP_PORT"]),
            partner_keys=state / "keys" / "partners",
            host_key=tmp_path / "host.pub",
            log=DropLog(tmp_path / f"dropped.{round_}"),
            on_progress=dropped.append,
        )

    assert (go(1), go(1), go(2)) == (len(wave), 0, len(wave))
    assert sorted(drop.path for drop in dropped) == sorted(2 * [drop.path for drop in wave])
    s3 = boto3.client(
        "s3",
        endpoint_url=local_cloud["AWS_ENDPOINT_URL"],
        region_name=local_cloud["AWS_REGION"],
        aws_access_key_id=local_cloud["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=local_cloud["AWS_SECRET_ACCESS_KEY"],
    )
    bucket = local_cloud["DATA_PLATFORM_LANDING_BUCKET"]
    for each in wave:
        body = s3.get_object(Bucket=bucket, Key=f"inbound/{each.partner}/{each.file_name}")["Body"].read()
        assert body == (folder / each.path).read_bytes()
    found = s3.list_object_versions(Bucket=bucket, Prefix="inbound/")
    for version in (*found.get("Versions", []), *found.get("DeleteMarkers", [])):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
