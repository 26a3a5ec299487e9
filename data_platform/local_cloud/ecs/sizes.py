"""Fargate's task sizes: the valid pairs of CPU and memory, and the size that definition and overrides of a RunTask
give a task.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIB = 2**20
_GIB = 1024

MEMORY_OF_CPU: Mapping[int, tuple[int, ...]] = {
    256: (512, 1 * _GIB, 2 * _GIB),
    512: tuple(range(1 * _GIB, 4 * _GIB + 1, _GIB)),
    1024: tuple(range(2 * _GIB, 8 * _GIB + 1, _GIB)),
    2048: tuple(range(4 * _GIB, 16 * _GIB + 1, _GIB)),
    4096: tuple(range(8 * _GIB, 30 * _GIB + 1, _GIB)),
    8192: tuple(range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB)),
    16384: tuple(range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB)),
}
"""MiB by CPU units; 1,024 units are a vCPU."""

_STORAGE = range(21, 201)


class SizeRefused(Exception):
    """Fargate has no such size. The message is AWS's."""


@dataclass(frozen=True)
class Size:
    """CPU units, MiB of memory, GiB of ephemeral storage. None where neither definition nor overrides give it."""

    cpu: int | None
    memory: int | None
    storage: int


def effective(definition: Mapping[str, Any], overrides: Mapping[str, Any]) -> Size:
    """A task's size: overrides of RunTask take precedence over the definition. Raises SizeRefused."""
    storage = (overrides.get("ephemeralStorage") or definition.get("ephemeralStorage") or {}).get("sizeInGiB")
    return Size(
        cpu=_units(overrides.get("cpu") or definition.get("cpu"), "vcpu"),
        memory=_units(overrides.get("memory") or definition.get("memory"), "gb"),
        storage=20 if storage is None else int(storage),
    )


def check_fargate(size: Size) -> None:
    """Raise SizeRefused, worded as AWS does, unless Fargate has the size."""
    if size.memory not in MEMORY_OF_CPU.get(size.cpu or 0, ()):
        raise SizeRefused(
            "No Fargate configuration exists for given values: "
            f"{size.cpu} CPU, {size.memory} memory. See the Amazon ECS documentation for the valid values."
        )
    if size.storage != 20 and size.storage not in _STORAGE:
        raise SizeRefused(
            f"Ephemeral storage sizeInGiB must be between {_STORAGE.start} and {_STORAGE.stop - 1}, got {size.storage}."
        )


def _units(value: Any, unit: str) -> int | None:
    """`1024`, `"1024"`, `"1 vCPU"` or `"2GB"` in CPU units or MiB."""
    if value in (None, ""):
        return None
    number = re.match(r"^\s*(\d*\.?\d+)\s*([a-z]*)\s*$", str(value).lower())
    if number is None or number[2] not in ("", unit):
        raise SizeRefused(f"Invalid setting for container: {value!r}")
    return int(float(number[1]) * 1024) if number[2] else int(float(number[1]))
