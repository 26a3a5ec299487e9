"""The only reader of sources and feeds from `defs/sources/<kind>/<source>/defs.yaml`. A component builds the assets of
one source; everything else that needs declarations reads them here, without loading definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from data_platform.feeds.databases import DatabaseDeclaration, SqlTableSpec
from data_platform.feeds.documents import Document
from data_platform.feeds.geocoded import GeocodedSpec, GeocoderDeclaration
from data_platform.feeds.partners import PartnerDeclaration
from data_platform.feeds.spec import FeedSpec, SourceDeclaration
from data_platform.feeds.tables import TableSpec
from data_platform.feeds.web_apis import AirtableDeclaration, AirtableTableSpec, KnackDeclaration, KnackObjectSpec

_NAME = re.compile(r"[a-z][a-z0-9_]{2,62}")
_DECLARATIONS: dict[str, type[SourceDeclaration]] = {
    "data_platform.components.SftpPartner": PartnerDeclaration,
    "data_platform.components.SqlTables": DatabaseDeclaration,
    "data_platform.components.AirtableTables": AirtableDeclaration,
    "data_platform.components.KnackObjects": KnackDeclaration,
    "data_platform.components.GeocodedTables": GeocoderDeclaration,
}
"""The declarations of the platform's own components, which need no import of Dagster."""
WEB_APIS: tuple[type[TableSpec], ...] = (AirtableTableSpec, KnackObjectSpec)
TABLES: tuple[type[TableSpec], ...] = (SqlTableSpec, *WEB_APIS, GeocodedSpec)
"""The kinds of tables that the platform reads."""

Kind = TypeVar("Kind", bound=SourceDeclaration)


@dataclass(frozen=True)
class DeclaredSource(Generic[Kind]):
    """A source: its name, which is its folder's, its declaration, and the file that declares it."""

    name: str
    declaration: Kind
    declared_in: Path

    def feeds(self) -> tuple[FeedSpec, ...]:
        """The source's feeds, by name. Raises DefinitionInvalid."""
        return tuple(read() for _, read in self.declaration.feeds(self.declared_in))


def declared_sources(defs: Path, kind: type[Kind]) -> list[DeclaredSource[Kind]]:
    """The sources of a kind (SourceDeclaration: of all kinds) that the folder `defs/` declares, by name. Raises
    DefinitionInvalid."""
    declared_in: dict[str, Path] = {}
    found: list[DeclaredSource[Kind]] = []
    for document, declaration in _declarations(defs):
        name = document.path.parent.name
        if not _NAME.fullmatch(name):
            raise document.mistake(
                (),
                f"the folder's name is the source's name, and {name!r} can't be one; expected 3 to 63 lower-case"
                " letters, digits and _, a letter first, for example harbor_water",
            )
        if name in declared_in:
            raise document.mistake((), f"{declared_in[name]} declares a source {name} too; rename one's folder")
        declared_in[name] = document.path
        if issubclass(declaration, kind):
            found.append(DeclaredSource(name, document.attributes(declaration), document.path))
    return sorted(found, key=lambda source: source.name)


def declared_feeds(defs: Path) -> list[FeedSpec]:
    """Every feed declared in the folder `defs/`. Raises DefinitionInvalid."""
    return [feed for source in declared_sources(defs, SourceDeclaration) for feed in source.feeds()]


def declaration_of(document: Document) -> type[SourceDeclaration] | None:
    """The declaration of a source of one of the platform's own kinds; None of any other component's."""
    return _DECLARATIONS.get(document.component)


def _declarations(defs: Path) -> Iterator[tuple[Document, type[SourceDeclaration]]]:
    for path in sorted(defs.glob("sources/*/*/defs.yaml")):
        document = Document.read(path)
        declaration: type[BaseModel] = declaration_of(document) or document.model()
        if issubclass(declaration, SourceDeclaration):
            yield document, declaration
