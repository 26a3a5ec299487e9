"""How a Snowflake account differs from what `bootstrap` makes: what it lacks, what differs, and what a role may do and
must not. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.warehouse.bootstrap import (
    MARTS,
    USER_PARAMETERS,
    Account,
    described,
    existing_raw_schemas,
    shown,
)
from data_platform.warehouse.platform import stage
from data_platform.warehouse.table import DOES_NOT_EXIST, PLATFORM, literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

Grant = tuple[str, str, str]
"""(privilege, kind of object, name without quotes)"""


def drift(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    """Each difference between the account and `wanted`, in words. Raises the connector's errors."""
    from snowflake.connector import ProgrammingError

    sections: dict[str, Any] = {
        **{f"user {user}": _user(cursor, wanted, user, role) for user, role in wanted.users.items()},
        **{f"role {role}": _role(cursor, wanted, role) for role in wanted.users.values()},
        f"database {wanted.database}": _schemas(cursor, wanted),
        f"warehouse {wanted.warehouse}": _limit(cursor, wanted),
        f"integration {wanted.integration}": _integration(cursor, wanted),
        f"stage {stage(wanted.database)}": _stage(cursor, wanted),
    }
    for subject, differences in sections.items():
        try:
            yield from (f"{subject}: {difference}" for difference in differences)
        except ProgrammingError as refused:
            if refused.errno not in DOES_NOT_EXIST:
                raise
            yield f"{subject} doesn't exist"


def _user(cursor: DictCursor, wanted: Account, user: str, role: str) -> Iterator[str]:
    found = described(cursor, f"DESC USER {quoted(user)}", "value")
    yield from _differences(found, {"DEFAULT_ROLE": role})
    if "ALL" in found.get("DEFAULT_SECONDARY_ROLES", "").upper():
        yield "has all its roles as secondary roles, expected none"
    keys = [name for name in ("RSA_PUBLIC_KEY_FP", "RSA_PUBLIC_KEY_2_FP") if found.get(name, "null") != "null"]
    if not keys:
        yield "has no key: data-platform snowflake rotate-key ... begin"
    elif len(keys) == 2:
        yield "has two keys: its key is being rotated; data-platform snowflake rotate-key ... finish"
    cursor.execute(f"SHOW PARAMETERS FOR USER {quoted(user)}")
    yield from _differences({str(row["key"]): str(row["value"]) for row in cursor.fetchall()}, USER_PARAMETERS)
    cursor.execute(f"SHOW GRANTS TO USER {quoted(user)}")
    roles = {str(row["role"]).strip('"') for row in cursor.fetchall()}
    if roles != {role}:
        yield f"has the roles {', '.join(sorted(roles)) or 'none'}, expected {role} alone"


def _role(cursor: DictCursor, wanted: Account, role: str) -> Iterator[str]:
    found = _grants(cursor, f"SHOW GRANTS TO ROLE {quoted(role)}", "granted_on")
    future = _grants(cursor, f"SHOW FUTURE GRANTS TO ROLE {quoted(role)}", "grant_on")
    raw = existing_raw_schemas(cursor, wanted) if role == wanted.transformer else []
    for privilege, kind, name in sorted(_expected(wanted, role, raw) - found):
        yield f"lacks {privilege} on {kind} {name}"
    for privilege, kind, name in sorted(_expected_in_future(wanted, role) - future):
        yield f"lacks {privilege} on the future {kind}S in {name}"
    for grant in sorted(found):
        if not is_allowed(wanted, role, grant):
            yield "may {} on {} {}, which it must not: revoke it".format(*grant)
    for privilege, kind, name in sorted(future - _expected_in_future(wanted, role)):
        yield f"gets {privilege} on the future {kind}S in {name}, which it must not: revoke it"


def _grants(cursor: DictCursor, statement: str, kind: str) -> set[Grant]:
    cursor.execute(statement)
    return {
        # Of a future grant, the last part is the kind of object in angle brackets.
        (str(row["privilege"]), str(row[kind]).replace(" ", "_"), str(row["name"]).replace('"', "").split(".<")[0])
        for row in cursor.fetchall()
    }


def _expected(wanted: Account, role: str, raw_schemas: list[str]) -> set[Grant]:
    database = wanted.database
    common = {("USAGE", "WAREHOUSE", wanted.warehouse), ("USAGE", "DATABASE", database)}
    if role == wanted.reader:
        return {*common, ("USAGE", "SCHEMA", f"{database}.{MARTS}")}
    writer = {*common, ("CREATE SCHEMA", "DATABASE", database)}
    if role == wanted.transformer:
        raw = {("USAGE", "SCHEMA", f"{database}.{schema}") for schema in raw_schemas}
        return {*writer, *raw, ("OWNERSHIP", "SCHEMA", f"{database}.{MARTS}")}
    return {
        *writer,
        ("USAGE", "ROLE", wanted.reader),
        ("USAGE", "INTEGRATION", wanted.integration),
        ("MONITOR", "RESOURCE_MONITOR", wanted.warehouse),
        ("OWNERSHIP", "SCHEMA", f"{database}.{PLATFORM}"),
    }


def _expected_in_future(wanted: Account, role: str) -> set[Grant]:
    database = wanted.database
    if role == wanted.reader:
        return {("SELECT", kind, f"{database}.{MARTS}") for kind in ("TABLE", "VIEW")}
    if role == wanted.transformer:
        return {("USAGE", "SCHEMA", database), ("SELECT", "TABLE", database)}
    return {("SELECT", "TABLE", f"{database}.{PLATFORM}")}


def is_allowed(wanted: Account, role: str, grant: Grant) -> bool:
    """Whether the role may have this privilege."""
    privilege, kind, name = grant
    parts = name.split(".")
    if kind == "ROLE":
        return role == wanted.loader and name == wanted.reader
    if kind == "DATABASE":
        return privilege == "USAGE" or (privilege == "CREATE SCHEMA" and role != wanted.reader)
    if len(parts) == 1:
        return privilege == ("MONITOR" if kind == "RESOURCE_MONITOR" else "USAGE")
    reads = privilege in ("USAGE", "SELECT")
    if role == wanted.reader:
        return parts[:2] == [wanted.database, MARTS] and reads
    if role == wanted.transformer:
        return parts[1] != PLATFORM and (reads or not parts[1].startswith("RAW_"))
    return parts[1] != MARTS


def _schemas(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    cursor.execute(f"SHOW SCHEMAS IN DATABASE {quoted(wanted.database)}")
    owners = {str(row["name"]): str(row["owner"]) for row in cursor.fetchall()}
    for schema, owner in {PLATFORM: wanted.loader, MARTS: wanted.transformer}.items():
        if owners.get(schema) != owner:
            yield f"the owner of schema {schema} is {owners.get(schema, 'nobody: it is missing')}, expected {owner}"


def _limit(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    rows = shown(cursor, f"SHOW WAREHOUSES LIKE {literal(wanted.warehouse)}", wanted.warehouse)
    if not rows:
        yield "doesn't exist"
        return
    monitor = str(rows[0]["resource_monitor"])
    if monitor != wanted.warehouse:
        yield f"has the resource monitor {monitor}, expected {wanted.warehouse}"
    monitors = shown(cursor, f"SHOW RESOURCE MONITORS LIKE {literal(wanted.warehouse)}", wanted.warehouse)
    quotas = [float(row["credit_quota"]) for row in monitors]
    if quotas != [float(wanted.credits)]:
        found = f"{quotas[0]:g}" if quotas else "missing"
        yield f"its month's credits are {found}, expected {wanted.credits}"


def _integration(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    found = described(cursor, f"DESC INTEGRATION {quoted(wanted.integration)}", "property_value")
    expected = {
        "ENABLED": "true",
        "STORAGE_AWS_ROLE_ARN": wanted.aws_role_arn,
        "STORAGE_ALLOWED_LOCATIONS": wanted.location,
    }
    yield from _differences(found, expected)


def _stage(cursor: DictCursor, wanted: Account) -> Iterator[str]:
    lake = stage(wanted.database)
    schema = f"{quoted(lake.database)}.{quoted(lake.schema)}"
    rows = shown(cursor, f"SHOW STAGES LIKE {literal(lake.table)} IN SCHEMA {schema}", lake.table)
    if not rows:
        yield "doesn't exist"
        return
    found = {name: str(rows[0][name]) for name in ("url", "storage_integration", "owner")}
    expected = {"url": wanted.location, "storage_integration": wanted.integration, "owner": wanted.loader}
    yield from _differences(found, expected)


def _differences(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    for name, value in expected.items():
        if found.get(name, "null").upper() != value.upper():
            yield f"{name} is {found.get(name, 'null')}, expected {value}"
