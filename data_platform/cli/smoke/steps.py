"""One smoke test: delivers a file, follows it from place to place until a deadline, and removes it whatever happens."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from data_platform.cli.connector import import_connector
from data_platform.cli.output import add_row, duration, show, table
from data_platform.cli.project import DBT_PROJECT, ensure_ledger, landing_bucket
from data_platform.cli.signals import end_as_by_ctrl_c, signals_ignored
from data_platform.cli.smoke.cleanup import INBOUND, remove
from data_platform.cli.smoke.declaration import FEED, MODEL, PARTNER, probe_feed
from data_platform.cli.smoke.sftp import Sftp, SftpFailed
from data_platform.environment import Settings, settings
from data_platform.lake.manifest import ExtractKey
from data_platform.landing.history import list_deliveries
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.receipts import folder_of
from data_platform.landing.settle import settled_key
from data_platform.program import as_typed
from data_platform.warehouse.table import DOES_NOT_EXIST, raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.lake.extracts import Lake
    from data_platform.landing.bucket import LandingBucket

GOOD, BAD = 3, 1
_EVERY = 1.0
_GRACE = timedelta(minutes=5)
"""How long after its deadline a test may still remove what it has delivered."""
Found = TypeVar("Found")


class SmokeFailed(click.ClickException):
    """The file came no further. The message says where it is and what to do."""


@dataclass
class Probe:
    """One file, and where it is followed."""

    connection: SnowflakeConnection
    database: str
    lake: Lake
    bucket: LandingBucket
    sftp: Sftp
    seconds: float
    token: str = field(default_factory=lambda: secrets.token_hex(6))
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    passed: list[tuple[str, float]] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"probe_{self.token}.csv"

    def deliver(self) -> None:
        """By SFTP, as a partner does. Raises SftpFailed."""
        lines = ["token,number,amount,sent_at"]
        numbers = [*map(str, range(1, GOOD + 1)), *["none"] * BAD]
        lines += [
            f"{self.token},{number},{place}.25,{self.began:%Y-%m-%dT%H:%M:%SZ}" for place, number in enumerate(numbers)
        ]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / self.name
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            self.sftp.run(f"put {file} /inbound/{self.name}")
        self._reached(f"delivered by SFTP to {self.sftp.host}:{self.sftp.port} as {PARTNER}")

    def follow(self) -> None:
        """To its receipt. Raises SmokeFailed."""
        row = self._until(self._settled, "the file is in inbound, and no run has settled it", _WHY_PENDING)
        counts = (row.status, row.rows_loaded, row.rows_rejected)
        if counts != ("loaded", GOOD, BAD):
            raise SmokeFailed(
                f"The file is {row.status} with {row.rows_loaded} rows and {row.rows_rejected} rejects, expected loaded"
                f" with {GOOD} and {BAD}: {row.reason or 'no reason given'}"
            )
        manifest = self.lake.read_manifest(ExtractKey(PARTNER, FEED, str(row.extract_id), row.partition))
        if manifest is None or (manifest.rows, manifest.rejects) != (GOOD, BAD):
            raise SmokeFailed(f"The lake has no whole extract {row.extract_id} of the file, which the ledger names")
        self._reached(f"extracted to the lake: {manifest.files[0].path}")
        there = raw_table(self.database, PARTNER, FEED)
        sql = f"SELECT COUNT(*) FROM {there.sql} WHERE TOKEN = %s"
        if (found := self._count(self.connection, sql)) != GOOD:
            raise SmokeFailed(f"{there} has {found} rows of the file, expected {GOOD}")
        self._reached(f"loaded: {GOOD} rows in {there}, {BAD} reject in the ledger")
        receipt = f"{folder_of(PARTNER, row.landed_at)}{self.name}.{row.delivery_id[:8]}.json"
        path = f"/{receipt.replace(f'{PARTNER}/', '', 1)}"
        told = self._until(lambda: self._receipt(path), "the partner has no receipt", _WHY_UNSETTLED)
        if (told["status"], told["rows_loaded"]) != ("loaded", GOOD):
            raise SmokeFailed(f"The receipt {path} says {told['status']} with {told['rows_loaded']} rows")
        self._reached(f"receipt fetched by SFTP: {path}")
        self._until(lambda: self._archived(row), "the file is still in inbound", _WHY_UNSETTLED)
        self._reached("archived, and inbound is empty")

    def built(self, as_dbt: SnowflakeConnection) -> None:
        """By dbt, after the file came. The loader can't read models, so dbt's user counts. Raises SmokeFailed."""
        model = f'"{self.database}"."STAGING"."{MODEL.upper()}"'
        sql = f"SELECT COUNT(*) FROM {model} WHERE TOKEN = %s AND BUILT_AT >= '{self.began.isoformat()}'::TIMESTAMP_TZ"
        what = f"{MODEL} hasn't been built since"
        self._until(
            lambda: self._count(as_dbt, sql) == GOOD, what, "See the automation `marts_follow_raw` in Dagster's UI."
        )
        self._reached(f"built: {GOOD} rows in STAGING.{MODEL.upper()}")

    @property
    def settled(self) -> bool:
        """Whether the ledger has its outcome."""
        return self._settled() is not None

    def _settled(self) -> DeliveryRow | None:
        found = list_deliveries(
            self.connection, self.database, partner=PARTNER, feed=FEED, file_name=self.name, limit=1
        )
        return found[0] if found else None

    def _receipt(self, path: str) -> dict[str, object] | None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "receipt.json"
            try:
                self.sftp.run(f"get {path} {file}")
            except SftpFailed as failed:
                if "not found" in str(failed) or "No such file" in str(failed):
                    return None
                raise
            return dict(json.loads(file.read_bytes()))

    def _archived(self, row: DeliveryRow) -> bool:
        return self.bucket.exists(settled_key(row)) and not self.bucket.exists(f"{INBOUND}{self.name}")

    def _count(self, connection: SnowflakeConnection, sql: str) -> int:
        from snowflake.connector import ProgrammingError

        with connection.cursor() as cursor:
            try:
                cursor.execute(sql, [self.token])
            except ProgrammingError as refused:
                if refused.errno in DOES_NOT_EXIST:
                    return 0
                raise
            ((rows,),) = cursor.fetchall()
        return int(rows)

    def _until(self, look: Callable[[], Found | None], where: str, advice: str) -> Found:
        while not (found := look()):
            if time.monotonic() - self._started > self.seconds:
                raise SmokeFailed(f"Stopped after {duration(self.seconds)}: {where}. {as_typed(advice)}")
            time.sleep(_EVERY)
        return found

    def _reached(self, what: str) -> None:
        took = time.monotonic() - self._started
        self.passed.append((what, took))
        click.echo(f"  {duration(took):>8}  {what}", err=True)


_WHY_PENDING = "`data-platform deliveries pending` says why. Is the daemon at work, and the sensor `landing` on?"
_WHY_UNSETTLED = "The run that loaded it settles it at its end: see the run in Dagster's UI."


def run_test(*, key: Path | None, host: str | None, port: int | None, seconds: float, only_clean: bool) -> None:
    """Runs the test, prints what it proved, and removes everything. Raises SmokeFailed and SftpFailed."""
    import_connector()
    probe_feed()
    end_as_by_ctrl_c()
    wanted = settings().require_endpoints().adopt()
    with tempfile.TemporaryDirectory() as folder:
        sftp = None if only_clean else Sftp.of(wanted, key, host, port, Path(folder))
        _clean_and_test(wanted, sftp, seconds)


def _clean_and_test(wanted: Settings, sftp: Sftp | None, seconds: float) -> None:
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.resources import LakeResource
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.migrations import require_current

    lake, bucket, database = (
        *(LakeResource(bucket_name=wanted.lake_bucket).lake(), landing_bucket(wanted)),
        wanted.snowflake.database,
    )
    ensure_ledger(wanted)
    with connect(wanted, query_tag="data-platform smoke") as connection:
        require_current(connection, database, MIGRATIONS)
        old = None if sftp is None else datetime.now(UTC) - timedelta(seconds=seconds) - _GRACE
        if left := remove(connection, database, lake, bucket, before=old):
            click.echo(f"Removed what {left} earlier tests have left")
        if sftp is None:
            return
        probe = Probe(connection, database, lake, bucket, sftp, seconds)
        click.echo(f"Delivering {probe.name} in {wanted.environment}", err=True)
        with _removed_at_the_end(probe):
            probe.deliver()
            here = _execute(wanted, f"raw/{PARTNER}/{FEED}")
            probe.follow()
            if (DBT_PROJECT / "models" / "staging" / PARTNER / f"{MODEL}.sql").exists():
                if here:
                    _execute(wanted, f"staging/{MODEL}")
                with connect(wanted.as_dbt(), query_tag="data-platform smoke") as as_dbt:
                    probe.built(as_dbt)
    _report(probe)


@contextmanager
def _removed_at_the_end(probe: Probe) -> Iterator[None]:
    """However the block ends, the file and all that came of it are removed."""
    try:
        yield
    finally:
        with signals_ignored():
            unsettled = bool(probe.passed) and not probe.settled
            remove(probe.connection, probe.database, probe.lake, probe.bucket, name=probe.name)
            click.echo("  removed: rows, records, extract, receipts and file", err=True)
            if unsettled:
                click.echo(
                    as_typed("  If a run has the file still, `data-platform smoke --clean` removes the rest."), err=True
                )


def _execute(wanted: Settings, selection: str) -> bool:
    """In `local`, executes the run here if no daemon is at work. Returns whether it did."""
    if wanted.environment != "local":
        return False
    import dagster as dg
    from rich.console import Console
    from rich.progress import Progress

    from data_platform.cli.run.daemon import daemon_at_work
    from data_platform.cli.run.quiet import logs_to
    from data_platform.cli.run.selection import EVERY_DAY
    from data_platform.cli.run.steps import Steps

    with dg.DagsterInstance.get() as instance:
        if daemon_at_work(instance, wanted):
            return False
    silent = Progress(console=Console(quiet=True))
    with logs_to(wanted.state_dir / "logs" / "run.log", verbose=False), silent as progress:
        report = Steps(progress, time.monotonic()).selected(selection, None, EVERY_DAY)
    if failed := [failure for run in report.runs for failure in run.failures]:
        raise SmokeFailed(f"The run failed: {'; '.join(failed)}")
    return True


def _report(probe: Probe) -> None:
    made = table("proved", "after", right=("after",))
    for what, took in probe.passed:
        add_row(made, what, duration(took))
    show(made)
    click.echo("The file came through, and nothing of it is left but Dagster's history.")
