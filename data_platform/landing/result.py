"""The outcome of taking in a feed's deliveries, as metadata, checks and logs report it. Plain data; no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from data_platform.lake.manifest import Manifest
from data_platform.landing.delivery import Delivery
from data_platform.landing.outcomes import DeliveryRow
from data_platform.warehouse.load import LoadResult
from data_platform.warehouse.table import TableRef


@dataclass
class IntakeResult:
    """The outcome of a feed's deliveries. `companions`: for each delivery, the manifest or trigger it was read with.
    `manifests`: the extracts that are in the table now, including those that an earlier call loaded and left
    unsettled. `usual_rows`: the row counts of the feed's deliveries that were loaded before these."""

    target: TableRef
    receipts: list[DeliveryRow] = field(default_factory=list)
    companions: dict[str, Delivery | None] = field(default_factory=dict)
    manifests: list[Manifest] = field(default_factory=list)
    loads: list[LoadResult] = field(default_factory=list)
    usual_rows: list[int] = field(default_factory=list)
    table_rows: int = 0
    seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, int]:
        """Deliveries by outcome."""
        counted: Counter[str] = Counter(receipt.status for receipt in self.receipts)
        return {status: counted[status] for status in ("loaded", "duplicate", "superseded", "quarantined")}

    @property
    def rows_loaded(self) -> int:
        """Rows that the extracts put into the table."""
        return sum(manifest.rows for manifest in self.manifests)

    @property
    def rows_deleted(self) -> int:
        """Rows taken out of it: replaced, or of superseded deliveries."""
        return sum(load.rows_deleted for load in self.loads)

    @property
    def query_ids(self) -> list[str]:
        """Snowflake's ids of the loads' statements."""
        return [query_id for load in self.loads for query_id in load.query_ids]
