"""Signs in to Snowflake as each user, and tries what each may do and what each must not, on tables of its own. The
administrator's view of the same is `data-platform snowflake bootstrap --check`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_platform.cli.doctor.deep.copying import copies
from data_platform.cli.doctor.finding import Finding, State
from data_platform.cli.project import ensure_ledger
from data_platform.environment import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

NOT_HERE = "was allowed: the local Snowflake has no rights. Only an account can prove it"
FIX = "compare the account with the platform's grants: data-platform snowflake bootstrap --check"
_NOT_AUTHORIZED = (3001, 3013, 2003, 2043)
"""Snowflake's errors for a statement that the role may not run, a role that the user doesn't have, and an object that
doesn't exist or isn't granted."""
_FORBIDDEN = "42501"


@dataclass(frozen=True)
class Scratch:
    """The names of what the probes create. `raw`: a schema of the loader with a table; `ledger`: a table in PLATFORM;
    `mart`: a table of dbt's in MARTS."""

    database: str
    suffix: str

    @property
    def raw_schema(self) -> str:
        return f"RAW_DOCTOR_{self.suffix}"

    @property
    def raw(self) -> str:
        return f"{self.database}.{self.raw_schema}.ROWS_THERE"

    @property
    def ledger(self) -> str:
        return f"{self.database}.PLATFORM.DOCTOR_{self.suffix}"

    @property
    def mart(self) -> str:
        return f"{self.database}.MARTS.DOCTOR_{self.suffix}"


@dataclass(frozen=True)
class Attempt:
    """Something that a user may do, or must not. `undo`: run if it was allowed and should not have been."""

    user: str
    what: str
    sql: str
    allowed: bool
    undo: str | None = None


def users(settings: Settings) -> Iterator[Finding]:
    """Each user's session, its rights, the copy of every type, and that nothing is left behind."""
    from data_platform.warehouse.connection import connect

    ensure_ledger(settings)
    signing_in = {"loader": settings, "dbt": settings.as_dbt(), "reader": settings.as_reader()}
    scratch = Scratch(settings.snowflake.database.upper(), uuid.uuid4().hex[:8].upper())
    sessions: dict[str, SnowflakeConnection] = {}
    with ExitStack() as stack:
        for user, as_user in signing_in.items():
            name = f"{as_user.snowflake.user} with {as_user.snowflake.role}"
            try:
                sessions[user] = stack.enter_context(connect(as_user, query_tag="data-platform doctor --deep"))
                yield _session(user, as_user, sessions[user])
            except Exception as error:
                fix = f"data-platform snowflake bootstrap; data-platform snowflake rotate-key {user} begin"
                yield Finding(f"{user} signs in", "failed", f"{name}: {_line(error)}", fix)
        if len(sessions) < len(signing_in):
            yield Finding("rights in Snowflake", "failed", "not tried: a user can't sign in", "see above")
            return
        removed: list[Finding] = []
        try:
            yield from in_scratch(settings, sessions, scratch)
        finally:
            removed += remove(sessions, scratch)
        yield from removed


def in_scratch(settings: Settings, sessions: Mapping[str, SnowflakeConnection], scratch: Scratch) -> Iterator[Finding]:
    """The rights, then the copies. A probe that fails doesn't hide the next."""
    local = settings.environment == "local"
    roles = {
        "loader": settings.snowflake.role,
        "dbt": settings.snowflake_dbt.role,
        "reader": settings.snowflake_reader.role,
    }
    try:
        for user, sql in prepared(scratch):
            _execute(sessions[user], sql)
        for attempt in attempts(scratch, roles):
            yield tried(sessions[attempt.user], attempt, local)
    except Exception as error:
        yield Finding("rights in Snowflake", "failed", _line(error), FIX)
    try:
        yield from copies(settings, sessions["loader"], scratch.raw_schema)
    except Exception as error:
        yield Finding("copy", "failed", _line(error), "data-platform snowflake bootstrap --check")


def prepared(scratch: Scratch) -> Iterator[tuple[str, str]]:
    """(user, statement) that make the tables. That they succeed is part of the proof: each user writes its own."""
    yield "loader", f"CREATE SCHEMA {scratch.database}.{scratch.raw_schema}"
    yield "loader", f"CREATE TABLE {scratch.raw} AS SELECT 1 AS N"
    yield "loader", f"CREATE TABLE {scratch.ledger} AS SELECT 1 AS N"
    yield "dbt", f"CREATE SCHEMA IF NOT EXISTS {scratch.database}.MARTS"
    yield "dbt", f"CREATE TABLE {scratch.mart} AS SELECT 1 AS N"


def attempts(scratch: Scratch, roles: Mapping[str, str]) -> Iterator[Attempt]:
    """What each user may do beyond writing its own, and what it must not."""
    raw, ledger, mart = scratch.raw, scratch.ledger, scratch.mart
    yield Attempt("dbt", "read a raw table that was just created", f"SELECT N FROM {raw}", allowed=True)
    yield Attempt("reader", "read a mart that was just created", f"SELECT N FROM {mart}", allowed=True)
    yield Attempt("loader", "read a mart, to publish it", f"SELECT N FROM {mart}", allowed=True)
    for user, what, table in (
        ("loader", "a mart", mart),
        ("dbt", "a raw table", raw),
        ("dbt", "a table of the ledger", ledger),
        ("reader", "a mart", mart),
        ("reader", "a raw table", raw),
        ("reader", "a table of the ledger", ledger),
    ):
        yield Attempt(user, f"insert into {what}", f"INSERT INTO {table} SELECT 2", allowed=False)
        yield Attempt(user, f"delete from {what}", f"DELETE FROM {table} WHERE N = 3", allowed=False)
        beside = f"{table}_BY_{user.upper()}"
        where = f"create a table beside {what}"
        yield Attempt(user, where, f"CREATE TABLE {beside} (N NUMBER)", False, f"DROP TABLE IF EXISTS {beside}")
    yield Attempt("dbt", "read the ledger", f"SELECT N FROM {ledger}", allowed=False)
    loads = f"{scratch.database}.PLATFORM.LOADS"
    yield Attempt("dbt", "read the ledger's loads", f"SELECT COUNT(*) FROM {loads}", allowed=False)
    yield Attempt("reader", "read the ledger", f"SELECT N FROM {ledger}", allowed=False)
    yield Attempt("reader", "read a raw table", f"SELECT N FROM {raw}", allowed=False)
    schema = f"{scratch.database}.DOCTOR_{scratch.suffix}_READER"
    yield Attempt("reader", "create a schema", f"CREATE SCHEMA {schema}", False, f"DROP SCHEMA IF EXISTS {schema}")
    for user, own in roles.items():
        for other in (*(role for role in roles.values() if role != own), "ACCOUNTADMIN"):
            if (user, other) == ("loader", roles["reader"]):
                continue  # the loader reads marts by it
            yield Attempt(user, f"take the role {other}", f"USE ROLE {other}", False, f"USE ROLE {own}")


def tried(session: SnowflakeConnection, attempt: Attempt, local: bool) -> Finding:
    """Runs an attempt. A refusal counts as one only if it is Snowflake's for missing rights."""
    from snowflake.connector import ProgrammingError

    must = "may" if attempt.allowed else "must not"
    subject = f"{attempt.user} {must} {attempt.what}"
    try:
        _execute(session, attempt.sql)
    except ProgrammingError as refused:
        no_right = refused.errno in _NOT_AUTHORIZED or refused.sqlstate == _FORBIDDEN
        if attempt.allowed:
            return Finding(subject, "failed", f"was refused: {_line(refused)}", FIX)
        if no_right:
            return Finding(subject, "ok", "was refused")
        return Finding(subject, "failed", f"failed for another reason: {_line(refused)}", FIX)
    if attempt.allowed:
        return Finding(subject, "ok", "was allowed")
    if attempt.undo:
        _execute(session, attempt.undo)
    state: State = "warning" if local else "failed"
    return Finding(subject, state, NOT_HERE if local else "was allowed", "" if local else FIX)


def remove(sessions: Mapping[str, SnowflakeConnection], scratch: Scratch) -> list[Finding]:
    """Drops what `prepared` made. May run again."""
    left = []
    for user, what, name in (
        ("loader", "SCHEMA", f"{scratch.database}.{scratch.raw_schema}"),
        ("loader", "TABLE", scratch.ledger),
        ("dbt", "TABLE", scratch.mart),
    ):
        try:
            _execute(sessions[user], f"DROP {what} IF EXISTS {name}")
        except Exception as error:
            left.append(Finding("scratch tables", "failed", f"{name}: {_line(error)}", f"DROP {what} {name}"))
    return left or [Finding("scratch tables", "ok", "are removed")]


def _session(user: str, as_user: Settings, session: SnowflakeConnection) -> Finding:
    """Whether the session is the user's, with its role and in UTC."""
    wanted = as_user.snowflake
    subject = f"{user} signs in"
    cursor = session.cursor()
    cursor.execute("SELECT CURRENT_USER(), CURRENT_ROLE()")
    row: Any = cursor.fetchone()
    expected = (wanted.user.upper(), wanted.role.upper())
    if tuple(str(each or "").upper() for each in row) != expected:
        fix = f"data-platform snowflake bootstrap grants {wanted.role} to {wanted.user}"
        return Finding(subject, "failed", f"as {row[0]} with {row[1]}, expected {' with '.join(expected)}", fix)
    return Finding(subject, "ok", f"as {wanted.user} with {wanted.role}")


def _execute(session: SnowflakeConnection, sql: str) -> None:
    with session.cursor() as cursor:
        cursor.execute(sql)


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
