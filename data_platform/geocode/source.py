"""A table of geocoded addresses as a source: a slice is all different addresses of a column, as the table has them now.

Most places come from the answers that are kept; the service is asked for the rest, within the spend cap. A run that is
killed has kept what it found, but for the last seconds; the next one asks for the rest.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from data_platform.contract import quoted
from data_platform.extract.source import Chunk, Position, Refused, Slice, Source, extract_id_of
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.geocode import cache
from data_platform.geocode.asking import ask_all
from data_platform.geocode.cache import Known
from data_platform.geocode.normal import normalized
from data_platform.geocode.provider import Answer, Provider
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.schema import read_columns
from data_platform.warehouse.table import TableRef, raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_ROWS_A_CHUNK = 10_000
_NO_ADDRESS = Answer("no_address", "the text has no letter or digit, or is too long for an address")


class GeocodeSource(Source):
    """One table. `connect` opens sessions of the warehouse. `provider` returns the service, and is called only when it
    is to be asked. `progress` receives messages for the log."""

    feed: GeocodedSpec

    def __init__(
        self,
        feed: GeocodedSpec,
        connect: Callable[[], AbstractContextManager[SnowflakeConnection]],
        database: str,
        provider: Callable[[], Provider],
        *,
        run_id: str | None = None,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(feed)
        self.connect, self.database, self.provider = connect, database, provider
        self.run_id, self.progress = run_id, progress
        self.counts: Counter[str] = Counter()

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """All addresses of the column; nothing where there is no such table yet."""
        table = input_of(self.feed, self.database)
        with self.connect() as connection:
            columns = [column.name.lower() for column in read_columns(connection, table)]
        if not columns:
            self.progress(f"{self.feed.name}: {self.feed.from_} has no table yet: there is nothing to geocode")
            return
        if self.feed.column not in columns:
            raise Refused(
                f"{self.feed.name}: {self.feed.from_} has no column {self.feed.column}; it has {', '.join(columns)}."
                " Correct `column`, or the table"
            )
        now = datetime.now(UTC)
        read_at = now.isoformat()
        extract_id = extract_id_of(self.feed.name, self.feed.contract.hash, read_at)
        yield Slice(extract_id, effective_at=now, until={"read_at": read_at})

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[GeocodeReading]:
        """Reads and asks when the first chunk is asked for."""
        with self.connect() as connection:
            yield GeocodeReading(self, connection, slice_)

    def metadata(self) -> dict[str, Any]:
        """How many addresses have a place, why others have none, and how many the service was asked for."""
        missed = {name.replace("_", " "): self.counts[name] for name in ("ambiguous", "no_match", "no_address")}
        return {
            "addresses": self.counts["addresses"],
            "matched": self.counts["matched"],
            **missed,
            "left to later runs": self.counts["not_asked"],
            "asked": self.counts["asked"],
            "from kept answers": self.counts["kept"],
            "asked today": self.counts["asked_today"],
        }


class GeocodeReading:
    """The addresses, being read and asked for."""

    def __init__(self, source: GeocodeSource, connection: SnowflakeConnection, slice_: Slice) -> None:
        self.contract = source.feed.contract
        self._source, self._connection, self._slice = source, connection, slice_

    def chunks(self) -> Iterator[Chunk]:
        """A row for each different address, by address. Raises ApiFailed."""
        texts = self._addresses()
        normal = {text: normalized(text) for text in texts}
        answers = self._answers([each for each in dict.fromkeys(normal.values()) if each])
        for at in range(0, len(texts), _ROWS_A_CHUNK):
            rows = [self._row(text, answers.get(normal[text])) for text in texts[at : at + _ROWS_A_CHUNK]]
            self._source.counts.update(row["status"] for row in rows)
            yield Chunk(pa.RecordBatch.from_pylist(rows, schema=self.contract.arrow_schema))
        self._source.counts["addresses"] = len(texts)

    def position(self) -> Position:
        """When it was read."""
        return self._slice.until or {}

    def _addresses(self) -> list[str]:
        feed = self._source.feed
        column, table = quoted(feed.column), input_of(feed, self._source.database)
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT DISTINCT {column}::VARCHAR FROM {table.sql} WHERE {column} IS NOT NULL ORDER BY 1")
            return [str(text) for (text,) in cursor.fetchall()]

    def _answers(self, wanted: list[str]) -> dict[str, Known]:
        source, feed = self._source, self._source.feed
        now = datetime.now(UTC)
        midnight = now.astimezone(ZoneInfo(feed.time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        with self._connection.cursor() as cursor:
            answers = cache.known(cursor, source.database, feed.answers_of, set(wanted), feed.kept_days, now)
            spent = cache.asked_since(cursor, source.database, feed.answers_of, midnight)
        missing = [address for address in wanted if address not in answers]
        allowed = max(min(feed.cap.per_run, feed.cap.per_day - spent), 0)
        asked, left = missing[:allowed], missing[allowed:]
        source.counts.update(kept=len(wanted) - len(missing), asked=len(asked), asked_today=spent + len(asked))
        if left:
            source.progress(
                f"{feed.name}: asks for {len(asked):,} addresses and leaves {len(left):,} to later runs: the cap is"
                f" {feed.cap.per_run:,} a run and {feed.cap.per_day:,} a day, of which {spent:,} are spent"
            )
        if asked:
            source.progress(f"{feed.name}: {len(asked):,} of {len(wanted):,} addresses aren't known yet; asking")
            answers |= ask_all(source.provider(), asked, self._keep, self._announce, progress=source.progress)
        return answers

    def _keep(self, found: Any) -> None:
        with self._connection.cursor() as cursor:
            cache.keep(cursor, self._source.database, self._source.feed.answers_of, found, self._source.run_id)

    def _announce(self, addresses: int) -> None:
        source = self._source
        with self._connection.cursor() as cursor:
            cache.ask(cursor, source.database, source.feed.answers_of, addresses, source.run_id)

    def _row(self, text: str, known: Known | None) -> dict[str, Any]:
        if known is None:
            cap = self._source.feed.cap
            reason = f"the cap of {cap.per_run:,} addresses a run and {cap.per_day:,} a day was reached"
            answer = Answer("not_asked", reason) if normalized(text) else _NO_ADDRESS
        else:
            answer = known.answer
        return {
            "address": text,
            "status": answer.status,
            "reason": answer.reason or None,
            "matched_address": answer.matched,
            "latitude": answer.latitude,
            "longitude": answer.longitude,
            "location": _point(answer),
            "precision": answer.precision,
            "asked_at": known.asked_at if known else None,
        }


def input_of(feed: GeocodedSpec, database: str) -> TableRef:
    """The table of the asset that has the addresses: a raw table, or a model, whose schema is its folder's name."""
    *folder, name = feed.from_.split("/")
    if folder[0] == "raw":
        return raw_table(database, folder[1], name)
    return TableRef(database.upper(), folder[0].upper(), name.upper())


def _point(answer: Answer) -> bytes | None:
    """Well-known binary, little-endian."""
    if answer.longitude is None or answer.latitude is None:
        return None
    return struct.pack("<BIdd", 1, 1, float(answer.longitude), float(answer.latitude))
