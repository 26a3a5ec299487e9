"""Commands on a platform that has loaded nothing yet say so, in place of Snowflake's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import click
import pytest
from snowflake.connector import ProgrammingError

from data_platform.cli import project
from data_platform.cli.feed import again
from data_platform.cli.project import open_ledger
from data_platform.cli.rows import _previewed
from data_platform.environment import settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.warehouse import connection
from data_platform.warehouse.migrations import DatabaseOlder


class Missing:
    """Stands for a session and its cursor, in a database where no object exists."""

    errno = 2003

    @contextmanager
    def cursor(self) -> Iterator[Missing]:
        yield self

    def execute(self, sql: str) -> None:
        if sql not in ("BEGIN", "ROLLBACK"):
            raise ProgrammingError("it does not exist or not authorized", errno=self.errno)


class NothingYet(SimpleNamespace):
    """Stands for the settings."""

    snowflake = SimpleNamespace(database="NOTHING_YET")

    def adopt(self) -> NothingYet:
        return self


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Missing:
    session = Missing()

    @contextmanager
    def connect(*_: Any, **__: Any) -> Iterator[Missing]:
        yield session

    monkeypatch.setattr(connection, "connect", connect)
    monkeypatch.setattr(project, "settings", lambda: SimpleNamespace(require_endpoints=NothingYet))
    return session


def test_a_preview_of_a_table_that_is_not_there_yet(missing: Missing) -> None:
    with pytest.raises(click.ClickException, match="raw/p/f has no table yet: nothing has been loaded or built"):
        _previewed(settings(), "raw/p/f", '"D"."RAW_P"."F"', 10)
    missing.errno = 604
    with pytest.raises(ProgrammingError):
        _previewed(settings(), "raw/p/f", '"D"."RAW_P"."F"', 10)


def test_deliveries_before_the_ledger_is_there(missing: Missing) -> None:
    with pytest.raises(DatabaseOlder, match="run `data-platform schema apply`"), open_ledger("deliveries"):
        pass


def test_files_are_read_again_before_the_ledger_is_there(missing: Missing, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = {"columns": [{"name": "id", "type": "string"}]}
    feed = FileFeedSpec.of({"source": "p", "table": "f", "pattern": "f", "contract": contract})
    monkeypatch.setattr(again, "connect", connection.connect)
    monkeypatch.setattr(again, "settings", lambda: SimpleNamespace(require_endpoints=NothingYet))
    with pytest.raises(DatabaseOlder, match="run `data-platform schema apply`"):
        again.read_again(feed, None, None, yes=True)
