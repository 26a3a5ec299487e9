"""Tables that the platform reads from another system over a connection, and what their source declares. The systems add
their own: `databases.py`, `web_apis.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from data_platform.environment.connections import System
from data_platform.feeds.cron import Cron
from data_platform.feeds.spec import FeedDeclaration, FeedSpec, SourceDeclaration

TableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,127}$", examples=["service_requests"])]
ConnectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", examples=["city_records"])]


class TableSpec(FeedSpec):
    """A table that the platform reads from another system, where a file feed waits for files. `connection`: the name
    under which settings hold the system's URL. `from`: the table's name in the system. `schedule`: its source's."""

    part_of: ClassVar[str]
    """What the table is a table of, as messages name it: a database."""
    system: ClassVar[System]
    """What the connections of such tables lead to."""
    connection: ConnectionName
    schedule: Cron | None = None
    from_: Annotated[Any, Field(alias="from")] = None

    @property
    def connects_to(self) -> System:
        """What this table's connection leads to."""
        return self.system


class TablesDeclaration(SourceDeclaration):
    """A source whose `defs.yaml` has all its tables. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION>
    holds the system's URL. `schedule`: when the tables are read, as cron in the platform's time zone; default: with all
    sources of their kind."""

    spec: ClassVar[type[TableSpec]]
    """Of each table."""
    shared: ClassVar[tuple[str, ...]] = ("connection",)
    """The fields that each table's spec has from its source."""

    connection: ConnectionName
    schedule: Cron | None = None
    tables: tuple[Any, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [table.table for table in self.tables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"table declared twice: {', '.join(twice)}")
        return self

    def feeds(self, declared_in: Path) -> Iterator[tuple[Path, Callable[[], FeedSpec]]]:
        """Every table is declared in the source's own file."""
        return ((declared_in, partial(self._feed, table, declared_in)) for table in self._ordered())

    def specs(self, declared_in: Path) -> list[TableSpec]:
        """The tables of the source that `declared_in` declares."""
        return [self._feed(table, declared_in) for table in self._ordered()]

    def _ordered(self) -> Sequence[Any]:
        return sorted(self.tables, key=lambda table: str(table.table))

    def _feed(self, table: FeedDeclaration, declared_in: Path) -> TableSpec:
        return self.spec.model_validate(
            {
                **self.inherited(table),
                **{name: getattr(self, name) for name in ("schedule", *self.shared)},
                "source": declared_in.parent.name,
                "declared_in": declared_in,
            }
        )
