"""Metrics as lines of output. On AWS a metric filter of the log group reads them (deploy/stacks/observability.py), so
the process needs no permission and no client. Imports nothing: the stacks import it."""

from __future__ import annotations

import sys

MARK = "data-platform-metric"
QUEUE_AGE = "QueueAgeSeconds"
INBOUND_AGE = "OldestInboundSeconds"
CREDITS = "SnowflakeCreditsPercent"
NAMES = (QUEUE_AGE, INBOUND_AGE, CREDITS)


def line(name: str, value: float) -> str:
    """A metric's line. What relays it may put words before it, never after it."""
    return f"{MARK} {name} {value:.0f}"


def say(name: str, value: float) -> None:
    """Prints the metric at once."""
    sys.stdout.write(line(name, value) + "\n")
    sys.stdout.flush()
