"""Drops files as a partner does, with a real SFTP client and the partner's key.

It sends a file as `<name>.part` and then renames it, so nobody reads half a file.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import asyncssh

from data_platform.local_cloud.demo.drop_log import DropLog
from data_platform.local_cloud.demo.key import Drop

PART = ".part"
_CONNECT_SECONDS = 30
Files = Sequence[Path]
"""A delivery's files in the order in which they are sent: the data, then its manifest."""


class UnknownHost(Exception):
    """The SFTP server's host key is unknown, so the server could be anyone's."""


def drop_wave(
    wave: Sequence[Drop],
    folder: Path,
    *,
    host: str,
    port: int,
    partner_keys: Path,
    host_key: Path,
    log: DropLog,
    on_progress: Callable[[Drop], None] = lambda drop: None,
) -> int:
    """Drops a wave's files that have not been dropped yet, each as its partner.

    `partner_keys`: a folder with each partner's private key, in a file of the partner's name. `host_key`: see `drop`.
    Returns how many it dropped.
    """
    due = log.undropped(wave)
    for partner in dict.fromkeys(drop.partner for drop in due):
        by_file = {folder / drop.path: drop for drop in due if drop.partner == partner}

        def arrived(file: Path, by_file: dict[Path, Drop] = by_file) -> None:
            log.note(by_file[file])
            on_progress(by_file[file])

        files = [[file, folder / drop.companion] if drop.companion else [file] for file, drop in by_file.items()]
        drop(files, partner, host, port, partner_keys / partner, host_key=host_key, on_progress=arrived)
    return len(due)


def drop(
    deliveries: Sequence[Files],
    partner: str,
    host: str,
    port: int,
    private_key: Path,
    *,
    host_key: Path,
    folder: str = "/inbound",
    concurrency: int = 4,
    on_progress: Callable[[Path], None] = lambda file: None,
) -> None:
    """Sends deliveries in one SFTP session of the partner, up to `concurrency` at a time. `on_progress` gets the first
    file of each delivery that has arrived completely.

    `host_key` is a file with the server's public key. If the file doesn't exist, the key of a server on this machine is
    trusted and saved there; any other server raises UnknownHost. Also raises asyncssh.Error (sign-in refused, a
    different host key, an SFTP failure) and OSError.
    """
    if deliveries:
        asyncio.run(_drop(deliveries, partner, host, port, private_key, host_key, folder, concurrency, on_progress))


async def _drop(
    deliveries: Sequence[Files],
    partner: str,
    host: str,
    port: int,
    private_key: Path,
    host_key: Path,
    folder: str,
    concurrency: int,
    on_progress: Callable[[Path], None],
) -> None:
    known = await _known_key(host, port, host_key)
    waiting = iter(deliveries)
    async with (
        asyncssh.connect(
            host,
            port,
            username=partner,
            client_keys=[str(private_key)],
            known_hosts=([known], [], []),
            agent_path=None,
            config=None,
            connect_timeout=_CONNECT_SECONDS,
            keepalive_interval=15,
            keepalive_count_max=4,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):

        async def send() -> None:
            for files in waiting:
                for file in files:
                    await _put(sftp, file, PurePosixPath(folder) / file.name)
                on_progress(files[0])

        await asyncio.gather(*(send() for _ in range(min(concurrency, len(deliveries)))))


async def _put(sftp: asyncssh.SFTPClient, file: Path, target: PurePosixPath) -> None:
    part = f"{target}{PART}"
    await sftp.put(str(file), part)
    try:
        await sftp.posix_rename(part, str(target))
    except asyncssh.SFTPOpUnsupported:
        # SFTP's own rename fails if the name exists.
        if await sftp.exists(str(target)):
            await sftp.remove(str(target))
        await sftp.rename(part, str(target))


async def _known_key(host: str, port: int, host_key: Path) -> asyncssh.SSHKey:
    if host_key.exists():
        return asyncssh.read_public_key(str(host_key))
    if not _is_loopback(host):
        raise UnknownHost(
            f"{host}:{port} is not this machine, and {host_key} with its public key doesn't exist: get the"
            " key from the server's operator (AWS Transfer shows its host keys) and save it there"
        )
    key = await asyncio.wait_for(asyncssh.get_server_host_key(host, port), _CONNECT_SECONDS)
    if key is None:
        raise UnknownHost(f"{host}:{port} shows no host key: is it an SFTP server?")
    host_key.parent.mkdir(parents=True, exist_ok=True)
    key.write_public_key(str(host_key))
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
