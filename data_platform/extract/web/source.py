"""A table of Airtable or an object of Knack as a source: a slice is all of it, as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from data_platform.extract.source import Position, Slice, Source, extract_id_of
from data_platform.extract.web.airtable import AirtablePages
from data_platform.extract.web.client import ApiClient
from data_platform.extract.web.knack import KnackPages
from data_platform.extract.web.reading import RecordsReading
from data_platform.extract.web.spool import Spool
from data_platform.feeds.web_apis import AirtableTableSpec, KnackObjectSpec
from data_platform.lake.manifest import Manifest


class WebSource(Source):
    """One table or object. `client` returns what calls the service, and is called only when it is needed. `progress`
    receives messages for the log."""

    feed: AirtableTableSpec | KnackObjectSpec

    def __init__(
        self,
        feed: AirtableTableSpec | KnackObjectSpec,
        client: Callable[[], ApiClient],
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
        client = self._client()
        pages = (
            AirtablePages(self.feed, client)
            if isinstance(self.feed, AirtableTableSpec)
            else KnackPages(self.feed, client)
        )
        with Spool() as spool:
            yield RecordsReading(self.feed, pages, spool, slice_.until or {}, self._progress)
