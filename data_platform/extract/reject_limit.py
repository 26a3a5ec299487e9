"""When a read has too many rejects to be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from data_platform.extract.source import Chunk, Refused
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.web_apis import WebTableSpec


def within_reject_limit(chunks: Iterable[Chunk], feed: SqlTableSpec | WebTableSpec) -> Iterator[Chunk]:
    """The chunks of a whole read. Raises Refused after the last one, with the first reject's reason, if the feed allows
    fewer rejects."""
    read, rejected, example = 0, 0, ""
    for chunk in chunks:
        read += chunk.rows.num_rows
        if chunk.rejects is not None:
            example = example or str(chunk.rejects.column("reason")[0])
            rejected += chunk.rejects.num_rows
            read += chunk.rejects.num_rows
        yield chunk
    problem = feed.too_many_rejects(rejected, read)
    if problem is not None:
        raise Refused(
            f"{feed.name}: {problem} (the first: {example}). Nothing of this read is kept; correct the"
            " contract or the data"
        )
