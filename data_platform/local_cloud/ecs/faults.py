"""What goes wrong on purpose: `<state>/data/aws/faults.json`, which the local ECS reads when a task is asked for,
started, and run.

`{"faults": [{"kind": "throttling", "times": 3}, {"kind": "spot_interruption", "task": "daily", "seconds": 20}]}`

    faults = Faults.of(state_dir)
    faults.add(Fault("throttling", times=3), Fault("never_start"))
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from data_platform.local_cloud.layout import Layout, write_atomically

REQUESTED = ("throttling", "failure", "capacity", "vcpu_limit")
"""RunTask: ThrottlingException; `failures` with the given reason; no Fargate capacity; the account's quota of vCPUs."""

ANSWERED = ("lost_answer",)
"""RunTask launches the task, and answers ServerException all the same."""

STARTED = ("never_start", "cold_start", "start_failure")
"""A task that stays PENDING for `seconds` (for ever, if not given); that starts `seconds` later; that doesn't start,
for the given reason."""

RUNNING = ("spot_interruption",)
"""A task on FARGATE_SPOT that is interrupted after it has run for `seconds`."""

KINDS = (*REQUESTED, *ANSWERED, *STARTED, *RUNNING)


class FaultsUnreadable(Exception):
    """The file of faults is invalid; the message says where."""


@dataclass(frozen=True)
class Fault:
    """One fault. `times`: how often; None for always. `task`: only for a task of that ARN, id, family, startedBy, or
    value of a tag (a Dagster run's id and job are tags); empty for any."""

    kind: str
    times: int | None = 1
    task: str = ""
    seconds: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FaultsUnreadable(f"no such fault: {self.kind!r}; expected one of {KINDS}")


class Faults:
    """The file of faults. Safe to use from several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, state_dir: Path) -> Faults:
        """The faults of a local cloud."""
        return cls(Layout.at(state_dir).data("aws") / "faults.json")

    def left(self) -> list[Fault]:
        """The faults that remain. Raises FaultsUnreadable."""
        try:
            return [Fault(**fault) for fault in json.loads(self.path.read_text(encoding="utf-8"))["faults"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise FaultsUnreadable(f"{self.path}: {error}") from None

    def add(self, *faults: Fault) -> None:
        with self._locked():
            self._write([*self.left(), *faults])

    def clear(self) -> None:
        with self._locked():
            self._write([])

    def take(self, kinds: Collection[str], names: Collection[str], *, after: float = 0.0) -> Fault | None:
        """Use the first fault of these kinds for a task of one of these names, and return it. `after`: how many seconds
        the task has run."""
        if not self.path.exists():
            return None
        with self._locked():
            left = self.left()
            for position, fault in enumerate(left):
                waits = fault.kind in RUNNING and (fault.seconds or 0) > after
                if fault.kind in kinds and not waits and (not fault.task or fault.task in names):
                    if fault.times is not None:
                        rest = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                        self._write([*left[:position], *rest, *left[position + 1 :]])
                    return fault
        return None

    def _write(self, faults: Sequence[Fault]) -> None:
        write_atomically(self.path, json.dumps({"faults": [asdict(fault) for fault in faults]}, indent=1))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
