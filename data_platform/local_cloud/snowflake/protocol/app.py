"""The HTTP interface of Snowflake: sign in, run a statement, keep a session alive.

Answers each failed statement with a SQL error: after an HTTP 500, clients would send the statement again.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
from fakesnow.expr import normalise_ident
from fakesnow.statement_type import DML_TYPE_IDS
from fakesnow.transforms import SERVER_VERSION
from snowflake.connector.errors import Error
from snowflake.connector.network import QUERY_IN_PROGRESS_CODE
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from data_platform.local_cloud.snowflake.dialect.errors import error, sql_error
from data_platform.local_cloud.snowflake.engine.cursor import Cursor
from data_platform.local_cloud.snowflake.engine.instance import LocalSnowflake
from data_platform.local_cloud.snowflake.engine.results import Result
from data_platform.local_cloud.snowflake.engine.session import Session, SessionContext
from data_platform.local_cloud.snowflake.protocol.keypair import RegisteredKey, SignInRefused
from data_platform.local_cloud.snowflake.protocol.statements import Statements
from data_platform.local_cloud.snowflake.protocol.wire import to_json_rows, to_wire

logger = logging.getLogger(__name__)


class Server:
    """The sessions of one local account, and the routes to them.

    A request waits `answer_within_seconds` for its statement, which must be less than the client's time-out of 60 s.
    Snowflake's wait is 45 s (https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses).
    """

    def __init__(
        self, instance: LocalSnowflake, key: RegisteredKey | None, *, answer_within_seconds: float = 45.0
    ) -> None:
        self._instance = instance
        self._key = key
        self._answer_within_seconds = answer_within_seconds
        self._sessions: dict[str, Session] = {}
        self._statements: dict[str, Statements] = {}
        self._attaching = threading.Lock()

    def app(self) -> Starlette:
        """The application. Call `close` after it stops."""
        return Starlette(
            lifespan=_many_threads,
            routes=[
                Route("/health", self.health, methods=["GET"]),
                Route("/session/v1/login-request", self.sign_in, methods=["POST"]),
                Route("/session", self.end_session, methods=["POST"]),
                Route("/session/heartbeat", self.heartbeat, methods=["POST"]),
                Route("/queries/v1/query-request", self.query, methods=["POST"]),
                Route("/queries/{request_id}/result", self.query_result, methods=["GET"]),
                Route("/queries/v1/abort-request", self.abort, methods=["POST"]),
                Route("/telemetry/send", self.heartbeat, methods=["POST"]),
            ],
        )

    def close(self) -> None:
        for session in list(self._sessions.values()):
            session.end()
        self._sessions.clear()
        self._statements.clear()
        self._instance.close()

    async def health(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def sign_in(self, request: Request) -> Response:
        data = (await _body(request))["data"]
        user = str(data.get("LOGIN_NAME", ""))
        if self._key:
            try:
                self._key.check(data.get("TOKEN"), user)
            except SignInRefused as exc:
                logger.warning("sign-in of %s refused: %s", user, exc)
                return _failure("390144", "JWT token is invalid.")
        query = request.query_params
        database, schema = (normalise_ident(v) if (v := query.get(k)) else None for k in ("databaseName", "schemaName"))
        parameters = dict(data.get("SESSION_PARAMETERS") or {})
        context = SessionContext(
            account=str(data.get("ACCOUNT_NAME", "local")).upper(),
            user=user.upper(),
            role=(query.get("roleName") or "PUBLIC").upper(),
            warehouse=(query.get("warehouse") or "").upper() or None,
            parameters={str(k).upper(): v for k, v in parameters.items()},
        )
        session = await run_in_threadpool(self._open, database, schema, context)
        return _success(
            {
                "token": session.token,
                "masterToken": session.token,
                "sessionId": session.number,
                "serverVersion": SERVER_VERSION,
                "parameters": [
                    {"name": "AUTOCOMMIT", "value": session.autocommits},
                    {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
                    {"name": "CLIENT_TELEMETRY_ENABLED", "value": False},
                    {"name": "TIMEZONE", "value": session.time_zone},
                ],
                "sessionInfo": {
                    "databaseName": session.database,
                    "schemaName": session.schema,
                    "warehouseName": context.warehouse,
                    "roleName": context.role,
                },
            }
        )

    def _open(self, database: str | None, schema: str | None, context: SessionContext) -> Session:
        with self._attaching:
            session = Session(self._instance, database, schema, context)
        session.autocommits = bool(context.parameters.get("AUTOCOMMIT", True))
        self._statements[session.token] = Statements()
        self._sessions[session.token] = session
        return session

    async def end_session(self, request: Request) -> Response:
        if request.query_params.get("delete") and (session := self._sessions.pop(_token(request), None)):
            self._statements.pop(session.token).close()
            await run_in_threadpool(session.end)
        return _success(None)

    async def heartbeat(self, request: Request) -> Response:
        return _success(None)

    async def abort(self, request: Request) -> Response:
        """Cancel the session's statement."""
        if session := self._sessions.get(_token(request)):
            session.duck.interrupt()
        return _success(None)

    async def query(self, request: Request) -> Response:
        """Run a statement. The same request again gets the same statement's answer."""
        body = await _body(request)
        session = self._sessions.get(_token(request))
        if session is None:
            return _signed_out()
        request_id = request.query_params.get("requestId") or str(uuid.uuid4())
        statement = self._statements[session.token].start(request_id, partial(self._query, session, body))
        return await self._answer_in_time(request_id, statement)

    async def query_result(self, request: Request) -> Response:
        """The answer of a statement that outlasted an earlier request."""
        request_id = request.path_params["request_id"]
        statements = self._statements.get(_token(request))
        if statements is None:
            return _signed_out()
        statement = statements.get(request_id)
        if statement is None:
            return _sql_failure(error(709, "02000", f"Statement {request_id} not found"), None)
        return await self._answer_in_time(request_id, statement)

    async def _answer_in_time(self, request_id: str, statement: asyncio.Task[Response]) -> Response:
        await asyncio.wait({statement}, timeout=self._answer_within_seconds)
        if statement.done():
            return statement.result()
        return _success({"getResultUrl": f"/queries/{request_id}/result"}, QUERY_IN_PROGRESS_CODE)

    def _query(self, session: Session, body: dict[str, Any]) -> Response:
        text = str(body["sqlText"])
        with session.busy:
            cursor = Cursor(session)
            try:
                session.raise_if_abandoned(text)
                if body.get("bindings"):
                    raise NotImplementedError("bindings (paramstyle qmark or numeric)")
                return _success(_answer(session, cursor, cursor.run(text)))
            except Exception as exc:
                failure = sql_error(exc)
                logger.info("%s: %s", failure.errno, failure.msg, exc_info=exc if failure.errno == 603 else None)
                return _sql_failure(failure, cursor.query_id)
            finally:
                session.idle_since = time.monotonic()


def _answer(session: Session, cursor: Cursor, result: Result) -> dict[str, Any]:
    statement_type = cursor.statement_type
    is_dml = statement_type in DML_TYPE_IDS
    return {
        "parameters": [{"name": "TIMEZONE", "value": session.time_zone}],
        "rowtype": result.rowtype,
        "total": (result.affected if is_dml and result.affected is not None else result.rows),
        "returned": result.rows,
        "queryId": cursor.query_id,
        "statementTypeId": statement_type,
        "finalDatabaseName": session.database,
        "finalSchemaName": session.schema,
        "finalRoleName": session.context.role,
        "finalWarehouseName": session.context.warehouse,
        **(to_json_rows(result) if is_dml else to_wire(result)),
    }


@asynccontextmanager
async def _many_threads(_: Starlette) -> AsyncIterator[None]:
    """Allow many threads: each statement that waits for a lock holds one, and the one that releases it needs one
    too."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = 400
    yield


async def _body(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return dict(json.loads(body))


def _token(request: Request) -> str:
    return request.headers.get("Authorization", "")[len('Snowflake Token="') : -1]


def _success(data: Any, code: str | None = None) -> JSONResponse:
    return JSONResponse({"data": data, "code": code, "message": None, "success": True})


def _signed_out() -> JSONResponse:
    return _failure("390104", "User must login again to access the service.", status=401)


def _failure(code: str, message: str, *, status: int = 200) -> JSONResponse:
    return JSONResponse({"data": None, "code": code, "message": message, "success": False}, status_code=status)


def _sql_failure(failure: Error, query_id: str | None) -> JSONResponse:
    code = f"{failure.errno:06d}"
    data = {"errorCode": code, "sqlState": failure.sqlstate, "queryId": query_id}
    return JSONResponse({"data": data, "code": code, "message": failure.raw_msg, "success": False})
