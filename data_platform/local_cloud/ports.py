"""Chooses the ports of the local cloud, always on the loopback interface."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"

PREFERRED = {"aws": 14566, "sftp": 12222, "snowflake": 18777, "postgres": 15499, "web": 18900}
"""Below the range of clients' ports, and used by no well-known service."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def any_free() -> int:
    """A free port, as the system finds one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class Claims:
    """Ports that this process has chosen and whose servers don't listen yet. Another local cloud that starts at the
    same time chooses others. A claim is the UDP socket of the same number: it ends with the process, and leaves nothing
    behind."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def choose(self, wanted: list[int], taken: set[int]) -> int:
        """Claims the first wanted port that is free, or else any free one. Never one in `taken`."""
        for port in wanted:
            if port not in taken and self._claim(port):
                return port
        while (port := any_free()) in taken or not self._claim(port):
            pass
        return port

    def close(self) -> None:
        """Gives up all claims: the servers listen now, or won't."""
        while self._held:
            self._held.popitem()[1].close()

    def _claim(self, port: int) -> bool:
        if port not in self._held:
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                claim.bind((LOOPBACK, port))
            except OSError:
                claim.close()
                return False
            self._held[port] = claim
        return is_free(port)


def accepts(port: int, *, timeout: float = 1.0) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False
