"""One delivery as the engine reads it: its file, checked against its contract, reject limit and manifest."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pyarrow as pa

from data_platform.extract.extract import rows_schema
from data_platform.extract.source import OPERATOR, Chunk, Position, Refused
from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import DELIVERY_ID, FileFeedSpec
from data_platform.lake.shown import visible
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.decode import Delivered
from data_platform.landing.delivery import LandingError
from data_platform.landing.read import DeliveryReader
from data_platform.landing.stated import disagreement
from data_platform.landing.versions import Work

_logger = logging.getLogger(__name__)

_REJECTS_KEPT = 100_000
_REJECT_BYTES_KEPT = 32 * 2**20
"""The rejects kept of a delivery past its limit: enough to see what is wrong. They are in memory until then. Reading
stops where they are as many and the limit is passed: rejects cost more than rows, and a few kB unpack to millions."""
_FAULTS = (
    *(ValueError, TypeError, ArithmeticError, LookupError, RecursionError, NotImplementedError),
    *(AssertionError, AttributeError, pa.ArrowException),
)
"""What a value that nobody thought of makes a reader raise. Not OSError: an outage never counts against a file. Nor
MemoryError, which Arrow's is too: the worker process ends with it."""


class DeliveryReading:
    """A delivery, opened. One that can't be accepted raises Refused while it is read. Making it raises DeliveryGone.
    `unreadable`: why it can't be read; its bytes are then only counted and hashed."""

    def __init__(self, work: Work, feed: FileFeedSpec, bucket: LandingBucket, *, unreadable: str | None = None) -> None:
        self._work = work
        self._feed = feed
        self._bucket = bucket
        self._problem = unreadable
        self._reader: DeliveryReader | None = None
        self._counts = {"rows_read": 0, "rows_rejected": 0}
        self._delivered = Delivered(bucket.open(work.stored or work.delivery))
        if unreadable is None:
            try:
                self._reader = DeliveryReader(
                    self._delivered, feed, file_name=work.delivery.file_name, size=work.delivery.size
                )
            except LandingError as error:
                self._problem = str(error)
            except MemoryError:
                raise
            except _FAULTS as error:
                self._problem = self._fault(error)
        if self._reader is None:
            self._delivered.drain()

    @property
    def contract(self) -> FileContract:
        """The feed's contract, with the columns that drift added."""
        return self._feed.contract if self._reader is None else self._reader.contract

    def chunks(self) -> Iterator[Chunk]:
        """The file's records. Raises Refused if the file can't be read to its end, has too many rejects, or isn't what
        its manifest says."""
        if self._reader is None:
            raise Refused(str(self._problem))
        kept: list[pa.RecordBatch] = []
        kept_rows = kept_bytes = 0
        stopped = first = ""
        try:
            for chunk in self._reader:
                first = first or _first(chunk.rejects)
                if kept_rows < _REJECTS_KEPT and kept_bytes < _REJECT_BYTES_KEPT:
                    kept.append(chunk.rejects)
                    kept_rows += chunk.rejects.num_rows
                    kept_bytes += chunk.rejects.nbytes
                yield Chunk(self._stamped(chunk.batch), chunk.rejects)
                full = kept_rows >= _REJECTS_KEPT or kept_bytes >= _REJECT_BYTES_KEPT
                if stopped := self._passed(self._reader, full=full):
                    self._reader.drain()
                    break
            counts = {"rows_read": self._reader.rows_read, "rows_rejected": self._reader.rows_rejected}
            problem = self._feed.reject_limit.exceeded(counts["rows_rejected"], counts["rows_read"])
            if problem is not None:
                problem += f" (the first: {first})"
            if problem is not None:
                problem += f"{stopped}. Correct the rows and send the file again"
            problem = problem or self._disagrees(self._reader)
        except LandingError as error:
            self._problem = str(error)
            self._reader.drain()
            raise Refused(self._problem) from None
        except MemoryError:
            raise
        except _FAULTS as error:
            self._problem = self._fault(error)
            self._reader.drain()
            raise Refused(self._problem) from error
        self._counts = counts
        if problem is not None:
            self._problem = f"{self._feed.name}: {self._work.delivery.file_name}: {problem}"
            raise Refused(self._problem, kept)

    def _passed(self, reader: DeliveryReader, *, full: bool) -> str:
        """Why reading stops here, as the reason says it, or "": the rejects so far are too many even if all that
        follows is good, or no more are kept (`full`), and they are too many even if as many good rows follow."""
        limit, rejected = self._feed.reject_limit, reader.rows_rejected
        if limit.exceeded(rejected, reader.rows_read) is None:
            return ""
        if limit.exceeded(rejected, reader.rows_at_most) is not None:
            return ". The file was read to where no more rows could keep it within the limit"
        if full and limit.exceeded(rejected, 2 * reader.rows_read) is not None:
            return f". Reading stopped at record {reader.rows_read:,}, as far too many rows break the contract"
        return ""

    def position(self) -> Position:
        """The version that was read, its hash and counts. A file that can't be read counts no rows."""
        delivery = self._work.delivery
        return {
            "key": delivery.key,
            "version_id": delivery.version_id,
            "etag": delivery.etag,
            "sha256": self._delivered.sha256,
            **self._counts,
            "quarantined": self._problem,
        }

    def _fault(self, error: Exception) -> str:
        """The reason to quarantine the file. Where the platform failed goes to the run's log: frames, which have no
        values in them."""
        what = type(error).__name__ if self._feed.contract.personal else f"{type(error).__name__}: {error}"[:500]
        file = f"{self._feed.name}: {self._work.delivery.file_name}"
        frames = "".join(traceback.format_tb(error.__traceback__))
        _logger.error("%s: the platform failed on what the file holds (%s)\n%s", visible(file), visible(what), frames)
        return (
            f"{file}: the platform failed on what the file holds ({what}). The fault is the platform's, which keeps the"
            f" file to read it again.{OPERATOR}where it failed is in the log of the run that the receipt names as"
            " run_id; report it, and replay the delivery when it is mended"
        )

    def _stamped(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the delivery's id, in the order of the extract's columns."""
        schema = rows_schema(self._feed, self.contract)
        ids = pa.repeat(pa.scalar(self._work.delivery.id, pa.string()), batch.num_rows)
        columns = [ids if field.name == DELIVERY_ID else batch.column(field.name) for field in schema]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _disagrees(self, reader: DeliveryReader) -> str | None:
        """How the file differs from its manifest, or None."""
        companion = self._work.companion
        if companion is None or not self._feed.readiness.manifest:
            return None
        found = {
            "file": self._work.delivery.file_name.rpartition("/")[2],
            "rows": reader.rows_read,
            "bytes": reader.content_bytes,
            "sha256": reader.content_sha256,
        }
        return disagreement(self._bucket.open(companion).read(), companion.file_name, found)


def _first(rejects: pa.RecordBatch) -> str:
    """The first reject's record and reason, for the partner, who sees a receipt and no rejects; "" without rejects."""
    if rejects.num_rows == 0:
        return ""
    return f"record {rejects.column('record_number')[0]}, {rejects.column('reason')[0]}"
