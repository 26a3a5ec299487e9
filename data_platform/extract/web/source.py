"""A table of Airtable or an object of Knack as a source: a slice is all of it, as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from data_platform.extract.source import Position, Slice, Source, extract_id_of
from data_platform.extract.web.airtable import AIRTABLE, AirtablePages
from data_platform.extract.web.client import Api, ApiClient
from data_platform.extract.web.knack import KNACK, KnackPages
from data_platform.extract.web.reading import Pages, RecordsReading
from data_platform.extract.web.spool import Spool
from data_platform.feeds.web_apis import AirtableTableSpec, WebTableSpec
from data_platform.lake.manifest import Manifest


class WebSource(Source):
    """One table or object. `client` opens what calls the service, and is called only when it is needed. `progress`
    receives messages for the log."""

    feed: WebTableSpec

    def __init__(
        self,
        feed: WebTableSpec,
        client: Callable[[], AbstractContextManager[ApiClient]],
        *,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(feed)
        self._client, self._progress = client, progress

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """The whole table. A read that is killed has left nothing: the next begins anew, as no service keeps a place
        in its pages for long."""
        now = datetime.now(UTC)
        read_at = now.isoformat()
        extract_id = extract_id_of(self.feed.name, self.feed.contract.hash, read_at)
        yield Slice(extract_id, effective_at=now, until={"read_at": read_at})

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[RecordsReading]:
        """Reads it, when the first chunk is asked for."""
        with self._client() as client, Spool() as spool:
            yield RecordsReading(self.feed, pages_of(self.feed, client), spool, slice_.until or {}, self._progress)


def api_of(feed: WebTableSpec) -> Api:
    """The service that a feed reads."""
    return AIRTABLE if isinstance(feed, AirtableTableSpec) else KNACK


def pages_of(feed: WebTableSpec, client: ApiClient) -> Pages:
    """What the service's module knows of a feed."""
    return AirtablePages(feed, client) if isinstance(feed, AirtableTableSpec) else KnackPages(feed, client)
