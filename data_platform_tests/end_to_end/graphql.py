"""Dagster's webserver, asked as the UI asks it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from data_platform_tests.end_to_end.platform import patience

ASSET_JOB = "__ASSET_JOB"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_LAUNCH = """
mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {__typename
  ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  ... on RunConfigValidationInvalid {errors {message}} ... on InvalidSubsetError {message}}}
"""


def ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """A query's data. Raises AssertionError with the errors, and OSError while nobody answers."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", data=body, headers={"content-type": "application/json"})
    try:
        with _direct.open(request, timeout=patience(120)) as answer:
            found = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:2000]) from None
    assert "errors" not in found, found["errors"]
    data: dict[str, Any] = found["data"]
    return data


def launch(
    url: str, location: str, job: str, assets: Sequence[Sequence[str]] = (), tags: Mapping[str, str] | None = None
) -> str:
    """Launches a run of a job, or of these assets of it. Returns its id. Raises AssertionError where it is refused."""
    selector: dict[str, Any] = {
        "repositoryLocationName": location,
        "repositoryName": "__repository__",
        "pipelineName": job,
    }
    if assets:
        selector["assetSelection"] = [{"path": list(path)} for path in assets]
    said = [{"key": key, "value": value} for key, value in (tags or {}).items()]
    params = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": said}}
    answer = ask(url, _LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])
