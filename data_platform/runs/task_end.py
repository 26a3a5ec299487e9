"""Interprets ECS's answers: why a task ended, in words that an operator can act on, and whether a failed launch is
worth a retry. Calls nothing: `launcher` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.parsers import ResponseParserError

from data_platform.runs.queue import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG
from data_platform.runs.sizes import next_size

SPOT_INTERRUPTION = "SpotInterruption"
"""ECS's stop code for a task that Fargate Spot took back."""

_PASSING = (
    *(ConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError),
    *(CredentialRetrievalError, MetadataRetrievalError),
)
_SHORTAGES = (
    *("Capacity is unavailable", "RESOURCE:", "No Container Instances", "Throttl", "Rate exceeded", "TooManyRequests"),
    *("You've reached the limit on the number of", "try again later"),
    "Too many concurrent attempts",  # to register a definition of one family: runs of several commits at once
)
_SERVER_FAULTS = ("ServerException", "Service Unavailable")
_OUT_OF_MEMORY = "OutOfMemory"


class Ended(NamedTuple):
    """Why a task ended: the text for the operator, and the tags from which a retry takes its size and capacity."""

    text: str
    tags: Mapping[str, str] = {}


def why_it_ended(task: Mapping[str, Any], run_tags: Mapping[str, str]) -> Ended:
    """Reads ECS's description of a stopped task.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html"""
    reason, code = str(task.get("stoppedReason") or ""), task.get("stopCode")
    containers = task.get("containers") or [{}]
    reasons = " ".join(str(each.get("reason") or "") for each in containers)
    exit_code = max((each["exitCode"] for each in containers if each.get("exitCode") is not None), default=None)
    if _OUT_OF_MEMORY in reasons or _OUT_OF_MEMORY in reason:
        had = int(run_tags.get("ecs/memory") or task.get("memory") or 0)
        return _out_of_memory(had, int(run_tags.get(OUT_OF_MEMORY_TAG) or had))
    if code == SPOT_INTERRUPTION:
        return Ended("Fargate Spot took the task back. A retry runs on demand.", {INTERRUPTED_TAG: "true"})
    if code == "TaskFailedToStart" or (exit_code is None and not task.get("startedAt")):
        return Ended(f"The task did not start: {reason} {reasons}".rstrip())
    if exit_code is None:
        return Ended(f"The task was lost: {reason} {reasons}".rstrip())
    if code == "UserInitiated":
        return Ended(f"The task was stopped from outside (exit code {exit_code}): {reason}")
    if exit_code == 0:
        return Ended(
            "The task's process ended with exit code 0 in the middle of the run: some code in it called `exit`."
        )
    signal_name = f", signal {exit_code - 128}" if exit_code > 128 else ""
    return Ended(f"The task's process ended with exit code {exit_code}{signal_name}. {reason} {reasons}".rstrip())


def _out_of_memory(had: int, first: int) -> Ended:
    """`first`: what the first run had that was killed. Its retry gets the next size, and further ones no more: memory
    that a run never has enough of is a fault, which the largest task would only make dearer."""
    larger = next_size(0, had)
    if first < had:
        then = f"A retry gets no more, as one with {first} MiB was killed before"
    elif larger:
        then = f"A retry gets {larger[1]} MiB"
    else:
        then = "Fargate has no larger task: split the work into smaller runs"
    text = f"Killed for memory: the task had {had} MiB. {then}; `compute.memory` in its defs.yaml sets the size."
    return Ended(text, {OUT_OF_MEMORY_TAG: str(first)})


def is_shortage(error: Exception) -> bool:
    """Whether RunTask may succeed later: its answer is unclear, AWS throttles calls, it has no capacity now, or a quota
    is used up."""
    return is_unclear(error) or any(sign in str(error) for sign in _SHORTAGES)


def is_unclear(error: Exception) -> bool:
    """Whether RunTask may have launched the task all the same: AWS (or its credentials endpoint) is unreachable or
    fails, or the answer breaks off."""
    if isinstance(error, _PASSING):
        return True
    if isinstance(error, ClientError) and error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return True
    return any(sign in str(error) for sign in _SERVER_FAULTS)
