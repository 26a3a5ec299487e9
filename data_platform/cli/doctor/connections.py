"""The doctor's probes over the network: buckets, Snowflake, SFTP, Dagster's storage, dbt."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from data_platform.cli.doctor.finding import Finding, Probe, State
from data_platform.cli.doctor.geocoders import geocoders
from data_platform.cli.doctor.web_apis import web_apis
from data_platform.cli.project import DBT_PROJECT, DEFS
from data_platform.environment import Settings, SettingsError

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

_SECONDS = 10.0


def lake(settings: Settings) -> Iterator[Finding]:
    """Writing, reading and deleting in the lake's bucket, and how it answers for a missing key."""
    import obstore

    from data_platform.lake.store import open_bucket

    store = open_bucket(settings, settings.lake_bucket)
    key = f"_doctor/{uuid.uuid4().hex}"
    subject = f"lake s3://{settings.lake_bucket}"
    for what, action in (
        ("s3:PutObject", lambda: obstore.put(store, key, b"probe")),
        ("s3:GetObject", lambda: obstore.get(store, key).bytes()),
        ("s3:DeleteObject", lambda: obstore.delete(store, key)),
    ):
        try:
            action()
        except Exception as error:
            fix = f"allow {what} on {settings.lake_bucket}/* to this role; the bucket must be in {settings.aws.region}"
            yield Finding(subject, "failed", f"{what}: {_first_line(error)}", fix)
            return
    try:
        obstore.head(store, key)
    except FileNotFoundError:
        yield Finding(subject, "ok", "wrote, read and deleted an object, and saw that it is gone")
    except Exception as error:
        fix = (
            f"allow s3:ListBucket on {settings.lake_bucket} to this role: without it, S3 answers 403 for a missing key"
        )
        yield Finding(subject, "failed", f"a missing key: {_first_line(error)}", fix)
    else:
        yield Finding(subject, "failed", "a deleted object is still there", f"look at the S3 of {settings.lake_bucket}")


def landing(settings: Settings) -> Iterator[Finding]:
    """Listing inbound, and whether the bucket keeps versions."""
    from data_platform.landing.client import open_landing_bucket, s3_client

    subject = f"landing s3://{settings.landing_bucket}"
    try:
        page = next(open_landing_bucket(settings, settings.landing_bucket).pages(), [])
    except Exception as error:
        fix = f"allow s3:ListBucket on {settings.landing_bucket} to this role"
        yield Finding(subject, "failed", f"listing inbound/: {_first_line(error)}", fix)
        return
    more = " or more" if len(page) == 1000 else ""
    yield Finding(subject, "ok", f"{len(page)}{more} files are in inbound")
    status = s3_client(settings).get_bucket_versioning(Bucket=settings.landing_bucket).get("Status")
    if status == "Enabled":
        yield Finding(subject, "ok", "keeps versions")
    else:
        fix = "turn versioning on: without it, a file that a partner overwrites during a read is lost"
        yield Finding(subject, "failed", f"versioning is {status or 'off'}", fix)


def snowflake(settings: Settings) -> Iterator[Finding]:
    """Signing in as runs do, and the platform's stage."""
    yield from _session("Snowflake", settings, _platform_schema)


def dbt(settings: Settings) -> Iterator[Finding]:
    """Signing in as dbt does, with the values of its profile. The probe of the manifest covers the rest of the project:
    an up-to-date manifest proves that dbt parsed these files."""
    from data_platform.transform.profile import ProfileUnusable, as_dbt_connects

    try:
        as_dbt = as_dbt_connects(settings, settings.dbt_code.project_dir or DBT_PROJECT)
    except (ProfileUnusable, SettingsError) as error:
        yield Finding("dbt", "failed", " ".join(str(error).split()), "correct dbt's profile; data-platform dbt debug")
        return
    yield from _session("dbt", as_dbt)


def _session(
    subject: str, settings: Settings, also: Callable[[Settings, SnowflakeCursor], Iterator[Finding]] | None = None
) -> Iterator[Finding]:
    """Signing in, the session's role, warehouse and database, and what `also` finds in the session."""
    from data_platform.warehouse.connection import connect

    wanted = settings.snowflake
    try:
        connection = connect(settings, query_tag="data-platform doctor")
    except Exception as error:
        fix = (
            f"give user {wanted.user} the role {wanted.role}, and the public key of SNOWFLAKE_PRIVATE_KEY(_PATH):"
            " ALTER USER … SET RSA_PUBLIC_KEY"
        )
        yield Finding(subject, "failed", f"signing in to {wanted.account}: {_first_line(error)}", fix)
        return
    with connection, connection.cursor() as cursor:
        yield Finding(subject, "ok", f"signed in to {wanted.account} as {wanted.user}")
        cursor.execute("SELECT CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE()")
        row: Any = cursor.fetchone()
        names = {"role": wanted.role, "warehouse": wanted.warehouse, "database": wanted.database}
        for (kind, name), current in zip(names.items(), row, strict=True):
            if str(current or "").upper() == name.upper():
                yield Finding(f"{subject} {kind}", "ok", str(current))
            else:
                fix = f"create it, and GRANT it to {wanted.user if kind == 'role' else wanted.role}"
                yield Finding(f"{subject} {kind}", "failed", f"{name} doesn't exist, or is not granted", fix)
        if also is not None:
            yield from also(settings, cursor)


def _platform_schema(settings: Settings, cursor: SnowflakeCursor) -> Iterator[Finding]:
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.migrations import DatabaseNewer, missing
    from data_platform.warehouse.platform import stage

    schema = f"{settings.snowflake.database}.PLATFORM"
    unmade: State = "warning" if settings.environment == "local" else "failed"  # `run` makes it in local
    try:
        lacks = missing(cursor.connection, settings.snowflake.database, MIGRATIONS)
    except DatabaseNewer as error:
        yield Finding("Snowflake schema", "failed", str(error), "deploy that release")
    else:
        if lacks:
            found = f"{schema} lacks {len(lacks)} migrations of this release, {lacks[0].name!r} first"
            yield Finding("Snowflake schema", unmade, found, "data-platform schema apply")
        else:
            yield Finding("Snowflake schema", "ok", f"{schema} is at migration {max(MIGRATIONS).number}")
    lake_stage = stage(settings.snowflake.database)
    cursor.execute(f"SHOW STAGES LIKE '{lake_stage.table}' IN SCHEMA {lake_stage.database}.{lake_stage.schema}")
    if not cursor.fetchall():
        fix = "data-platform schema apply"
        yield Finding("Snowflake stage", unmade, f"{lake_stage} doesn't exist, or is not granted", fix)
        return
    if settings.environment != "local":  # the stand-in can't list a folder of a stage
        cursor.execute(f"LIST @{lake_stage.sql}/_doctor/")  # fails where the integration is not allowed to read
    yield Finding("Snowflake stage", "ok", f"{lake_stage} is ready")


def sftp(settings: Settings) -> Iterator[Finding]:
    """Whether an SSH server answers where partners sign in."""
    host, port = settings.sftp.host, settings.sftp.port
    if host is None:
        yield Finding("SFTP", "warning", "SFTP_HOST is unset", "set it to the address that partners use")
        return
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            connection.settimeout(_SECONDS)
            banner = connection.recv(255).decode("ascii", "replace").strip()
    except OSError as error:
        yield Finding(
            "SFTP", "failed", f"{host}:{port}: {error}", "check that the Transfer server is on and lets you connect"
        )
        return
    if banner.startswith("SSH-2.0-"):
        yield Finding("SFTP", "ok", f"{host}:{port} answers as {banner}; {_host_key(host, port)}")
    else:
        yield Finding("SFTP", "failed", f"{host}:{port} answers {banner[:40]!r}, which is not SSH", "check SFTP_PORT")


def _host_key(host: str, port: int) -> str:
    try:
        import asyncio

        import asyncssh
    except ImportError:
        return "its host key: ssh-keyscan"
    key = asyncio.run(asyncio.wait_for(asyncssh.get_server_host_key(host, port), _SECONDS))
    return f"host key {key.get_fingerprint()}" if key else "it shows no host key"


def dagster_storage(settings: Settings) -> Iterator[Finding]:
    """The database of Dagster's runs and events."""
    home = settings.dagster_home
    if home is None or not (home / "dagster.yaml").exists():
        found = "DAGSTER_HOME is unset" if home is None else f"there is no {home / 'dagster.yaml'}"
        yield Finding("Dagster", "failed", found, "data-platform up" if settings.environment == "local" else "set it")
        return
    if settings.dagster_postgres_url is None:
        yield Finding(
            "Dagster", "warning", "DAGSTER_POSTGRES_URL is unset", "Dagster stores runs where dagster.yaml says"
        )
        return
    import psycopg2

    url = settings.dagster_postgres_url.get_secret_value()
    try:
        connection = psycopg2.connect(url, connect_timeout=int(_SECONDS))
    except psycopg2.Error as error:
        fix = "check DAGSTER_POSTGRES_URL (host, port, user, password), and that you can reach it from this network"
        yield Finding("Dagster", "failed", f"its PostgreSQL: {_first_line(error)}", fix)
        return
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('runs') is not null, current_setting('server_version')")
        made, version = cursor.fetchone() or (False, "?")
    connection.close()
    runs = "has its tables" if made else "is empty: Dagster creates its tables at the first start"
    yield Finding("Dagster", "ok", f"PostgreSQL {version} answers and {runs}")


def runs_without_process(settings: Settings) -> Iterator[Finding]:
    """Whether each run that Dagster shows as started has a process."""
    from data_platform.runs.abandoned import all_runs_are_here, without_process
    from data_platform.runs.run_lock import folder_in

    if not all_runs_are_here(settings):
        return
    import dagster as dg

    settings.adopt()
    with dg.DagsterInstance.get() as instance:
        gone = without_process(instance, folder_in(settings.state_dir))
    for run in gone:
        found = f"run {run.run_id[:8]} of {run.job_name} is shown as started, but has no process"
        yield Finding("runs", "failed", found, "data-platform run, or data-platform dev, reports it as failed")
    if not gone:
        yield Finding("runs", "ok", "every started run has a process")


def databases(settings: Settings) -> Iterator[Finding]:
    """Signing in to each database that feeds read."""
    from data_platform.extract.sql.system import system_of
    from data_platform.feeds.databases import DatabaseDeclaration
    from data_platform.feeds.declared import declared_sources

    for source in declared_sources(DEFS, DatabaseDeclaration):
        subject = f"database {source.name}"
        try:
            url = settings.connection(source.declaration.connection, f"the source {source.name}")
            system = system_of(url)
            with system.session(url, "data-platform doctor") as session:
                ((version, user),) = session.rows(system.version) if system.version else [("", "its user")]
        except SettingsError as error:
            yield Finding(subject, "failed", str(error), "set it; it is a secret")
        except Exception as error:
            fix = f"check DATA_PLATFORM_CONNECTION_{source.declaration.connection.upper()}, and the network"
            yield Finding(subject, "failed", _first_line(error), fix)
        else:
            yield Finding(subject, "ok", f"{f'{system.name} {version}'.strip()} lets {user} sign in")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


CONNECTIONS: tuple[tuple[str, Probe], ...] = (
    ("lake", lake),
    ("landing", landing),
    ("Snowflake", snowflake),
    ("SFTP", sftp),
    ("databases", databases),
    ("web APIs", web_apis),
    ("geocoders", geocoders),
    ("Dagster", dagster_storage),
    ("runs", runs_without_process),
    ("dbt", dbt),
)
