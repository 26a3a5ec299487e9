"""Opens the tables of other systems that a run reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from data_platform.automation.feed_run import FeedRun
from data_platform.environment import Settings, settings
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.geocoded import CensusProvider, GeocodedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.feeds.web_apis import AirtableTableSpec, KnackObjectSpec

if TYPE_CHECKING:
    from data_platform.extract.source import Source
    from data_platform.extract.sql.discovery import CatalogOnce
    from data_platform.extract.web.client import ApiClient
    from data_platform.extract.web.limiter import Limiter
    from data_platform.feeds.web_apis import WebTableSpec
    from data_platform.geocode.provider import Provider


def open_tables(run: FeedRun, feeds: Sequence[TableSpec]) -> list[Source]:
    """A source for each table. A run that reads nothing, as to load extracts again, needs no connection."""
    return table_sources(feeds, settings(), run.progress)


def table_sources(feeds: Sequence[TableSpec], given: Settings, progress: Callable[[str], None]) -> list[Source]:
    """A source for each table. Those of one connection to a web API keep to its limit together; those of one to a
    database read its catalog together."""
    limiters: dict[str, Limiter] = {}
    catalogs: dict[str, CatalogOnce] = {}
    return [_source(feed, given, limiters, catalogs, progress) for feed in feeds]


def pool_of(feed: TableSpec) -> str | None:
    """The pool of the runs that read a feed: one run at a time asks a web API with the same key, so that its limit
    holds over runs."""
    limited = isinstance(feed, AirtableTableSpec | KnackObjectSpec | GeocodedSpec)
    return f"connection/{feed.connection}" if limited else None


def api_client(feed: WebTableSpec, given: Settings, limiter: Limiter | None = None, **options: Any) -> ApiClient:
    """What calls the web API that a feed reads. `options`: ApiClient's. Raises SettingsError, and ApiFailed where the
    connection isn't an address with a key."""
    from data_platform.extract.web.client import Address, ApiClient
    from data_platform.extract.web.source import api_of

    url = given.connection(feed.connection, feed.name, feed.connects_to)
    return ApiClient(api_of(feed), Address.of(url), limiter, **options)


def _source(
    feed: TableSpec,
    given: Settings,
    limiters: dict[str, Limiter],
    catalogs: dict[str, CatalogOnce],
    progress: Callable[[str], None],
) -> Source:
    # Each reader is imported where it is needed: loading definitions needs none.
    if isinstance(feed, SqlTableSpec):
        from data_platform.extract.sql.discovery import CatalogOnce
        from data_platform.extract.sql.source import TableSource

        url = partial(given.connection, feed.connection, feed.name, feed.connects_to)
        catalog = catalogs.setdefault(feed.connection, CatalogOnce(url))
        return TableSource(feed, url, catalog=catalog, progress=progress)
    if isinstance(feed, AirtableTableSpec | KnackObjectSpec):
        from data_platform.extract.web.limiter import Limiter
        from data_platform.extract.web.source import WebSource, api_of

        limiter = limiters.setdefault(feed.connection, Limiter(api_of(feed).per_second))
        return WebSource(feed, partial(api_client, feed, given, limiter, progress=progress), progress=progress)
    if isinstance(feed, GeocodedSpec):
        from data_platform.geocode.source import GeocodeSource
        from data_platform.warehouse.connection import connect

        provider = partial(geocoder, feed, given, limiters, progress=progress)
        tag = f"data_platform asset=raw/{feed.name}"
        return GeocodeSource(
            feed, partial(connect, given, query_tag=tag), given.snowflake.database, provider, progress=progress
        )
    raise TypeError(f"{feed.name} is a {type(feed).__name__}, which no source reads")


def geocoder(feed: GeocodedSpec, given: Settings, limiters: dict[str, Limiter], **options: Any) -> Provider:
    """What asks the service of a geocoded table. `options`: ApiClient's. Raises SettingsError, and ApiFailed where the
    connection isn't an address with a key."""
    from data_platform.extract.web.client import Address, ApiClient
    from data_platform.extract.web.limiter import Limiter
    from data_platform.geocode.address_search import AddressSearch, address_search
    from data_platform.geocode.census import CENSUS, CensusBatch

    url = given.connection(feed.connection, feed.name, feed.connects_to)
    declared = feed.provider
    keyless = isinstance(declared, CensusProvider)
    api = CENSUS if isinstance(declared, CensusProvider) else address_search(declared.per_second)
    limiter = limiters.setdefault(feed.connection, Limiter(api.per_second))
    client = ApiClient(api, Address.of(url, keyless=keyless), limiter, **options)
    if isinstance(declared, CensusProvider):
        city, state = declared.city, declared.state
        return CensusBatch(feed.answers_of, client, city=city, state=state, at_once=declared.batch)
    return AddressSearch(feed.answers_of, client)
