"""RDS changes the password of Dagster's database: with a real server, and a double of Secrets Manager's one call."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from data_platform.runs.database_password import RotatedPassword, follow_password
from data_platform.runs.storage import PooledPostgresStorage
from data_platform_tests.servers.postgres import Database, database, postgres_server

__all__ = ["database", "postgres_server"]

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1a2b-Ab3dEf"


class Rds:
    """A user of the server whose password changes, as RDS does it: in the database and in the secret."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name, self.reads = database, name, 0
        database.run(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'first'")
        self.secret = "first"
        self.url = make_url(database.url).set(username=name, password="first").render_as_string(hide_password=False)

    def rotate(self, password: str) -> None:
        self.database.run(f"ALTER ROLE {self.name} PASSWORD '{password}'")
        self.secret = password

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        """Secrets Manager's answer."""
        assert SecretId == ARN
        self.reads += 1
        return {"SecretString": json.dumps({"username": self.name, "password": self.secret})}


@pytest.fixture
def rds(database: Database, monkeypatch: pytest.MonkeyPatch) -> Rds:
    """A user of a test's own: what a test makes the process listen for concerns no other."""
    made = Rds(database, f"rds_{make_url(database.url).database}")
    monkeypatch.setattr("boto3.client", lambda service, region_name: made)
    return made


def test_the_storage_goes_on_after_its_password_changed(rds: Rds) -> None:
    config = {"postgres_url": rds.url, "password_secret": ARN}
    storage = PooledPostgresStorage.from_config_value(None, config)
    parts = (storage.run_storage, storage.event_log_storage, storage.schedule_storage)
    try:
        assert storage.run_storage.get_runs() == []
        assert rds.reads == 0, "the password that the process started with is right"
        for times, password in enumerate(("second", "third"), start=1):
            rds.rotate(password)
            rds.database.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{rds.name}'")
            assert storage.run_storage.get_runs() == []
            assert storage.event_log_storage.all_asset_keys() == []
            assert rds.reads == times, "read once, for all connections of the process"
    finally:
        for part in parts:
            part.dispose()


def test_a_process_that_starts_with_the_old_password_connects(rds: Rds) -> None:
    """As a code server's child does, which inherits the URL."""
    rds.rotate("second")
    storage = PooledPostgresStorage.from_config_value(None, {"postgres_url": rds.url, "password_secret": ARN})
    try:
        assert storage.run_storage.get_runs() == []
    finally:
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.dispose()


def test_without_a_secret_a_changed_password_is_an_error(rds: Rds) -> None:
    rds.rotate("second")
    engine = create_engine(rds.url)
    with pytest.raises(OperationalError, match="password"), engine.connect():
        pass
    assert rds.reads == 0


def test_a_refusal_that_the_secret_does_not_solve_stays_an_error_and_shows_no_password(rds: Rds) -> None:
    follow_password(rds.url, ARN)
    rds.database.run(f"ALTER ROLE {rds.name} NOLOGIN")
    with pytest.raises(OperationalError) as error, create_engine(rds.url).connect():
        pass
    assert "first" not in str(error.value)
    assert rds.reads == 1


def test_other_servers_and_users_are_left_alone(rds: Rds) -> None:
    follow_password(rds.url, ARN)
    with create_engine(rds.database.url).connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar() != rds.name
    ours = RotatedPassword("db.example.org", "dagster", lambda: pytest.fail("read"))
    assert ours.connect(create_engine("sqlite://").dialect, None, (), {"host": "elsewhere", "user": "dagster"}) is None
