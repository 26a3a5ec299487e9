"""Rules over several settings (loopback only in `local`, key pairs, TLS), and the messages for wrong settings."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from data_platform.environment.base import Endpoint
from data_platform.environment.connections import CONNECTION, SQLITE, kind_of, problem, split, variable_of
from data_platform.environment.groups import fields_of

if TYPE_CHECKING:
    from data_platform.environment import Settings


_ELSEWHERE = frozenset(("host", "hostaddr", "service", "servicefile"))
"""Parameters of a libpq URL that name another server than its host does."""


def endpoints(loaded: Settings) -> Iterator[tuple[str, str | None, bool]]:
    """(variable, value, whether the platform needs it) for each endpoint."""
    for variable, field, value in fields_of(loaded):
        for mark in field.metadata:
            if isinstance(mark, Endpoint):
                yield variable, value.get_secret_value() if isinstance(value, SecretStr) else value, mark.needed


def contradictions(loaded: Settings) -> Iterator[str]:
    """Rules over several values: loopback only in `local`, one private key, TLS outside `local`."""
    yield from _connections(loaded)
    if loaded.environment == "local":
        for variable, value, _ in endpoints(loaded):
            if value is not None and not is_loopback(value):
                yield (
                    f"{variable} is not a loopback address, and `local` may reach nothing else. Expected for"
                    " example 127.0.0.1; to reach a real account set DATA_PLATFORM_ENVIRONMENT=dev."
                )
        return
    for user in (loaded.snowflake, loaded.snowflake_dbt, loaded.snowflake_reader):
        if user.private_key is not None and user.private_key_path is not None:
            one, other = user.variable("private_key"), user.variable("private_key_path")
            yield f"{one} and {other} are both set: expected at most one of them"
    if loaded.snowflake.storage_integration is None:
        yield (
            "SNOWFLAKE_STORAGE_INTEGRATION is missing: expected the storage integration by which Snowflake reads the"
            " lake's bucket, for example SNOWFLAKE_STORAGE_INTEGRATION=DATA_PLATFORM_LAKE"
        )
    yield from _secrets_in_plain_sight(loaded)
    if loaded.snowflake.protocol != "https":
        yield f"SNOWFLAKE_PROTOCOL must be https in {loaded.environment}, for example https"


def _secrets_in_plain_sight(loaded: Settings) -> Iterator[str]:
    """Secrets among the plain variables of runs: Dagster shows those in its UI and stores them with each run."""
    context = json.loads(loaded.container_context or "{}")
    entries = [*context.get("env_vars", ()), *(context.get("ecs") or {}).get("env_vars", ())]
    known = {variable for variable, field, _ in fields_of(loaded) if "SecretStr" in str(field.annotation)}
    known |= {"DAGSTER_POSTGRES_SECRET", "AWS_SESSION_TOKEN"}
    for name in sorted({str(entry).partition("=")[0] for entry in entries}):
        if name in known or name.startswith(CONNECTION):
            yield (
                f"DAGSTER_CONTAINER_CONTEXT has the secret {name} among `env_vars`: expected it among `secrets`, for"
                f' example {{"ecs":{{"secrets":[{{"name":"{name}","valueFrom":"arn:aws:secretsmanager:..."}}]}}}}'
            )


def _connections(loaded: Settings) -> Iterator[str]:
    """What is wrong with the connections."""
    for name, url in loaded.connections.items():
        wrong = problem(url.get_secret_value(), loaded.environment)
        if wrong is not None:
            yield f"{variable_of(name)} {wrong}"


def is_loopback(endpoint: str) -> bool:
    """Whether a URL or host names this machine only: localhost, 127.0.0.0/8, ::1, a UNIX socket, a folder."""
    if endpoint.startswith(("/", "file:///")):
        return True
    if "://" in endpoint:
        parts = split(endpoint)
        if parts is None:
            return False
        host = parts.hostname
        if kind_of(parts) is SQLITE:
            return not parts.netloc
        if host is None:  # a PostgreSQL URL over a UNIX socket has no host; any other URL must have one
            return parts.scheme.startswith("postgres") and "host=/" in parts.query.replace("%2F", "/")
        if _ELSEWHERE & parse_qs(parts.query, keep_blank_values=True).keys():
            return False
    else:
        host = endpoint.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def explain(error: ValidationError, known: Mapping[str, FieldInfo]) -> str:
    """Every problem that pydantic found, one line per variable. `known`: the fields by variable."""
    lines = []
    for item in error.errors():
        variable = str(item["loc"][-1])
        field = known[variable]
        example = f", for example {variable}={field.examples[0]}" if field.examples else ""
        problem = "is missing" if item["type"] == "missing" else f"is wrong ({item['msg']})"
        lines.append(f"  {variable} {problem}: expected {field.description}{example}")
    return "The settings are incomplete or wrong.\n" + "\n".join(lines)
