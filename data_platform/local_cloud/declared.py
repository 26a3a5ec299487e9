"""What `defs/` declares outside the platform, and the local cloud stands in for: partners, databases and
web APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import declared_sources
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.feeds.partners import PartnerDeclaration
from data_platform.feeds.spec import SourceDeclaration
from data_platform.feeds.web_apis import AirtableTableSpec, KnackObjectSpec, WebTableSpec
from data_platform.local_cloud.web.stored import descriptions
from data_platform.publish.spec import CartoPublication, declared_datasets


@dataclass(frozen=True)
class PartnerAccess:
    """A partner's name, which is its SFTP user name, and its OpenSSH public key lines."""

    name: str
    public_keys: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    """`databases`: {a connection's name: the schemas that feeds read}. `web_apis`: {a connection's name: the service's
    double}. `stored_apis`: {the double's name: the tables that it has}, of Airtable and Knack."""

    partners: tuple[PartnerAccess, ...]
    databases: Mapping[str, tuple[str, ...]]
    web_apis: Mapping[str, str]
    stored_apis: Mapping[str, Any]


def read_declared(defs: Path) -> Declared:
    """Reads every source's and publication's `defs.yaml`. Raises DefinitionInvalid."""
    partners = []
    schemas: dict[str, set[str]] = {}
    web_apis: dict[str, str] = {}
    stored: list[WebTableSpec] = []
    for source in declared_sources(defs, SourceDeclaration):
        if isinstance(source.declaration, PartnerDeclaration):
            partners.append(PartnerAccess(source.name, source.declaration.public_keys))
            continue  # its feeds' files need not be read
        for feed in source.feeds():
            if isinstance(feed, SqlTableSpec):
                schemas.setdefault(feed.connection, set()).add(feed.relation[0] or "public")
            if isinstance(feed, GeocodedSpec):
                web_apis[feed.connection] = feed.provider.type
            if isinstance(feed, AirtableTableSpec | KnackObjectSpec):
                stored.append(feed)
    for dataset in declared_datasets(defs):
        if isinstance(dataset.publication, CartoPublication):
            web_apis[dataset.publication.connection] = "carto"
    databases = {name: tuple(sorted(of)) for name, of in sorted(schemas.items())}
    return Declared(tuple(partners), databases, dict(sorted(web_apis.items())), descriptions(stored))
