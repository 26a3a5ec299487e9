"""What a probe of the doctor yields. How probes are run and shown is in `command`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from data_platform.environment import Settings

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """A probe's finding. `fix`: what to do about it; empty if all is well."""

    subject: str
    state: State
    found: str
    fix: str = ""
    seconds: float = 0.0


Probe = Callable[[Settings], Iterator[Finding]]
