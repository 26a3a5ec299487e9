"""Ports for the servers that tests start."""

from __future__ import annotations

import itertools
import os

from data_platform.local_cloud.ports import is_free

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OWN = range(20_000 + _WORKER, 32_000, _WORKERS)
_FIRST = os.getpid() * 61 % len(_OWN)  # two sessions on one machine begin elsewhere
_ports = itertools.cycle([*_OWN[_FIRST:], *_OWN[:_FIRST]])


def own_port() -> int:
    """A loopback port that nothing listens on, and that nobody is given until the test's server does: it is below those
    that systems hand out to clients and to whoever asks for any, and no other worker's."""
    return next(port for port in _ports if is_free(port))
