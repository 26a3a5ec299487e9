"""The task sizes that Fargate offers, and how an asset declares the one that it needs.

Sizes of tasks: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
}
"""Fargate's sizes on Linux: for each number of CPU units (1024 are a vCPU), the possible MiB of memory."""

LARGEST = max(memory for memories in SIZES.values() for memory in memories)
_PREFIX = "data_platform/"


class Compute(BaseModel):
    """The task size that an asset's runs need. `cpu`: CPU units, 1024 are a vCPU; `memory`: MiB; `ephemeral_storage`:
    GiB of disk, if Fargate's 20 are too few; `spot`: run on Fargate Spot, which may interrupt the run and costs about a
    third."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: int | None = Field(None, ge=256, le=max(SIZES))
    memory: int | None = Field(None, ge=512, le=LARGEST)
    ephemeral_storage: int | None = Field(None, ge=21, le=200)
    spot: bool = False

    @model_validator(mode="after")
    def _is_a_size(self) -> Compute:
        if self.cpu is not None and self.cpu not in SIZES:
            raise ValueError(f"Fargate has no tasks of {self.cpu} CPU units: expected one of {_list(SIZES)}")
        if self.cpu is not None and self.memory is not None and self.memory not in SIZES[self.cpu]:
            raise ValueError(
                f"Fargate has no tasks of {self.cpu} CPU units and {self.memory} MiB: {self.cpu} CPU units take one of"
                f" {_list(SIZES[self.cpu])} MiB"
            )
        if self.memory is not None and fit(0, self.memory)[1] != self.memory:
            raise ValueError(f"Fargate has no tasks of {self.memory} MiB: expected {fit(0, self.memory)[1]}")
        return self

    def tags(self) -> dict[str, str]:
        """The asset tags for this size."""
        said = {name: value for name, value in self if value is not None and value is not False}
        return {_PREFIX + name: str(value).lower() for name, value in said.items()}

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> Compute:
        """The size from an asset's tags. Ignores invalid numbers: anyone can write tags by hand."""
        numbers = {name: tags.get(_PREFIX + name, "") for name in ("cpu", "memory", "ephemeral_storage")}
        found: dict[str, Any] = {name: int(text) for name, text in numbers.items() if text.isdecimal()}
        return cls.model_construct(None, **found, spot=tags.get(_PREFIX + "spot") == "true")


def fit(cpu: int, memory: int) -> tuple[int, int]:
    """The smallest size with at least this many CPU units and MiB; the largest size if none is large enough."""
    for units, memories in SIZES.items():
        if units >= cpu:
            for mebibytes in memories:
                if mebibytes >= memory:
                    return units, mebibytes
    return max(SIZES), LARGEST


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
