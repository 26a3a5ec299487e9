"""Rules over several settings (loopback only in `local`, key pairs, TLS), and the messages for wrong settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from data_platform.environment.connections import SQLITE, kind_of, problem, split, variable_of
from data_platform.environment.groups import Endpoint, fields_of

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
    sources = [loaded.snowflake.private_key, loaded.snowflake.private_key_path]
    if sum(source is not None for source in sources) != 1:
        yield (
            "SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PRIVATE_KEY_PATH: expected exactly one of them, as"
            f" {loaded.environment} signs in by key pair, for example SNOWFLAKE_PRIVATE_KEY_PATH=/run/key.p8"
        )
    if loaded.snowflake.protocol != "https":
        yield f"SNOWFLAKE_PROTOCOL must be https in {loaded.environment}, for example https"


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
