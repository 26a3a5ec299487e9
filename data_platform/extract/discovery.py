"""Reads a source's catalog, whatever kind of source it is. Each kind has a function in its own package."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.discovery import Found, Wanted
from data_platform.feeds.spec import FeedSpec, SourceDeclaration
from data_platform.feeds.web_apis import AirtableDeclaration, KnackDeclaration

ReadCatalog: TypeAlias = Callable[[Any, str, Sequence[Any], Wanted], Found]
"""(declaration, the connection's URL, the source's declared feeds, what else is wanted) -> what the catalog says of the
declared tables that are there, and of the wanted ones. Raises an error of its package, which says what to do."""


@dataclass(frozen=True)
class DiscoverableKind:
    """A kind of source whose catalog can be read. `component`: the `type` of its defs.yaml. `folder`: where its sources
    are, `sources/<folder>/<source>`. `reads`: the function, as `module:name`, imported when it is needed. `listed_in`:
    the attribute that lists the source's tables. `begins`: the attributes of a new defs.yaml."""

    component: str
    declaration: type[SourceDeclaration]
    folder: str
    reads: str
    listed_in: str
    begins: str

    def read(self, declaration: SourceDeclaration, url: str, feeds: Sequence[FeedSpec], wanted: Wanted) -> Found:
        """What the source's catalog says."""
        module, _, name = self.reads.partition(":")
        return cast(ReadCatalog, getattr(importlib.import_module(module), name))(declaration, url, feeds, wanted)

    def new_document(self, source: str) -> str:
        """The text of the defs.yaml of a source without tables."""
        return f"type: data_platform.components.{self.component}\n\nattributes:\n{self.begins.format(source=source)}"


_OF_WEB_APIS = """\
  # The IANA time zone of the source's days, and of the application's clock.
  time_zone: UTC
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds its URL.
  connection: {source}
"""
KINDS = (
    DiscoverableKind(
        component="SqlTables",
        declaration=DatabaseDeclaration,
        folder="databases",
        reads="data_platform.extract.sql.discovery:read_catalog",
        listed_in="tables",
        begins="""\
  description: The database {source}.
  # The IANA time zone of the database's days, and of its timestamps without time zone.
  time_zone: UTC
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds its URL.
  connection: {source}
  tables: []
""",
    ),
    DiscoverableKind(
        component="AirtableTables",
        declaration=AirtableDeclaration,
        folder="airtable",
        reads="data_platform.extract.web.discovery:read_base",
        listed_in="tables",
        begins=f"""\
  description: The Airtable base {{source}}.
{_OF_WEB_APIS}\
  # The base's id, from its address.
  base: appXXXXXXXXXXXXXX
  tables: []
""",
    ),
    DiscoverableKind(
        component="KnackObjects",
        declaration=KnackDeclaration,
        folder="knack",
        reads="data_platform.extract.web.discovery:read_application",
        listed_in="tables",
        begins=f"""\
  description: The Knack application {{source}}.
{_OF_WEB_APIS}\
  tables: []
""",
    ),
)


def kind_of(declaration: SourceDeclaration) -> DiscoverableKind | None:
    """The kind of a declared source, or None if its catalog can't be read: files have none."""
    return next((kind for kind in KINDS if isinstance(declaration, kind.declaration)), None)
