"""Why a task ended, told from ECS's description, and what passes by itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from data_platform.runs.queue import INTERRUPTED_TAG, OUT_OF_MEMORY_TAG
from data_platform.runs.task_end import Ended, is_shortage, why_it_ended


def task(exit_code: int | None, code: str = "EssentialContainerExited", reason: str = "", container: str = "") -> Ended:
    described: dict[str, Any] = {"stopCode": code, "stoppedReason": reason, "memory": "2048", "containers": [{}]}
    if exit_code is not None:
        described["containers"][0]["exitCode"] = exit_code
    if container:
        described["containers"][0]["reason"] = container
    return why_it_ended(described, {"ecs/memory": "4096"})


def test_a_task_killed_for_memory_says_what_it_had_and_what_a_retry_gets() -> None:
    ended = task(137, container="OutOfMemoryError: Container killed due to memory usage")
    assert ended.tags == {OUT_OF_MEMORY_TAG: "4096"}
    assert "had 4096 MiB. A retry gets 8192 MiB" in ended.text


def test_a_retry_that_is_killed_for_memory_too_is_not_given_more_again() -> None:
    described = {"containers": [{"exitCode": 137, "reason": "OutOfMemoryError"}]}
    ended = why_it_ended(described, {"ecs/memory": "8192", OUT_OF_MEMORY_TAG: "4096"})
    assert ended.tags == {OUT_OF_MEMORY_TAG: "4096"}, "from which its own retry gets 8192 MiB once more"
    assert "had 8192 MiB. A retry gets no more" in ended.text


def test_at_the_largest_size_it_says_that_there_is_no_larger_one() -> None:
    described = {"containers": [{"exitCode": 137, "reason": "OutOfMemoryError"}]}
    assert "no larger task" in why_it_ended(described, {"ecs/memory": "122880"}).text


def test_a_task_that_spot_took_back_is_retried_on_demand() -> None:
    ended = task(143, "SpotInterruption", "Your Spot Task was interrupted.")
    assert ended.tags == {INTERRUPTED_TAG: "true"} and "on demand" in ended.text


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (task(None, "TaskFailedToStart", "CannotPullContainerError: i/o timeout"), "did not start: CannotPull"),
        (task(143, "UserInitiated", "by hand"), "stopped from outside .exit code 143.: by hand"),
        (task(0), "exit code 0 in the middle of the run"),
        (task(137), "exit code 137, signal 9"),
        (task(1), "exit code 1"),
        (why_it_ended({}, {}), "did not start"),
        (
            why_it_ended({"startedAt": "now", "stopCode": "TerminationNotice", "stoppedReason": "maintenance"}, {}),
            "lost",
        ),
    ],
)
def test_every_end_is_told_in_words_and_only_some_change_the_retry(ended: Ended, words: str) -> None:
    assert not ended.tags
    assert re.search(words, ended.text), ended.text


@pytest.mark.parametrize(
    "message",
    [
        "An error occurred (ThrottlingException) when calling the RunTask operation: Rate exceeded",
        "Task failed. Failure reason: RESOURCE:MEMORY",
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        "You've reached the limit on the number of vCPUs you can run concurrently",
        "An error occurred (ServerException) when calling the RunTask operation: Service Unavailable",
        "An error occurred (ClientException) when calling the RegisterTaskDefinition operation: Too many concurrent"
        " attempts to create a new revision of the specified family.",
    ],
)
def test_what_passes_by_itself_is_waited_for(message: str) -> None:
    assert is_shortage(RuntimeError(message))


def _answered(status: int) -> ClientError:
    return ClientError({"Error": {"Code": "Any"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "RunTask")


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://ecs"),
        ConnectTimeoutError(endpoint_url="https://ecs"),
        SSLError(endpoint_url="https://ecs", error="EOF occurred"),
        ConnectionClosedError(endpoint_url="https://ecs"),
        ReadTimeoutError(endpoint_url="https://ecs"),
        IncompleteReadError(actual_bytes=3, expected_bytes=4),
        CredentialRetrievalError(provider="container-role", error_msg="timed out"),
        ResponseParserError("not JSON"),
        _answered(503),
    ],
)
def test_aws_out_of_reach_is_waited_for_whatever_it_is_called(error: Exception) -> None:
    assert is_shortage(error)
    assert not is_shortage(_answered(400))


@pytest.mark.parametrize(
    "message", ["An error occurred (AccessDeniedException) when calling RunTask", "No Fargate configuration exists"]
)
def test_what_does_not_is_not(message: str) -> None:
    assert not is_shortage(RuntimeError(message))
