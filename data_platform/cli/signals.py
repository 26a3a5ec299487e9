"""Signals that end a long-running command."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_as_by_ctrl_c() -> None:
    """Makes SIGTERM and SIGHUP (`timeout`, a lost connection) do what Ctrl-C does in this process: it ends its run and
    its children on the way out. This also works for a script's background jobs, which ignore Ctrl-C. A SIGHUP that is
    ignored (`nohup`) stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignores these signals within the block, so that a second one (`timeout make run` sends two) doesn't interrupt the
    clean-up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, frame: FrameType | None) -> None:
    ctrl_c = signal.getsignal(signal.SIGINT)  # Dagster's own, while it stores an event or a step works
    if callable(ctrl_c):
        ctrl_c(signal.SIGINT, frame)
