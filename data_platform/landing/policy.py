"""What a load of deliveries decides and records, within its transaction: outcomes, supersession, duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.manifest import Manifest
from data_platform.landing import ledger
from data_platform.landing.outcomes import DeliveryRow, Settlement, Settling, decide
from data_platform.warehouse.policy import Decision
from data_platform.warehouse.rows import count_by
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


class DeliveryPolicy:
    """The policy of one load of a file feed's deliveries. `manifests` are the extracts that are given to the load; that
    of a quarantined delivery holds only rejects. `outcomes`, filled by the load: ledger rows by delivery id."""

    def __init__(
        self,
        database: str,
        feed: FileFeedSpec,
        manifests: Sequence[Manifest],
        settlements: Sequence[Settlement],
        *,
        run_id: str | None,
        reload: bool = False,
    ) -> None:
        missing = {each.extract_id for each in settlements if each.extract_id} - {each.extract_id for each in manifests}
        if missing:
            raise ValueError(f"{feed.name}: no manifest of {sorted(missing)}; give each loaded delivery's manifest")
        self.outcomes: Mapping[str, DeliveryRow] = {}
        self._database = database
        self._feed = feed
        self._manifests = manifests
        self._settlements = settlements
        self._run_id = run_id
        self._reload = reload
        self._settling = Settling()
        self._recorded: set[str] = set()

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """Decides by the ledger's rows. Raises LedgerChanged."""
        mode = self._feed.load_mode
        rows = ledger.related_deliveries(cursor, self._database, self._settlements, mode)
        settling = decide(
            self._settlements,
            rows,
            mode=mode,
            run_id=self._run_id,
            now=datetime.now(UTC),
            reload=self._reload,
            overwritten=self._overwritten(cursor, rows) if mode == "merge" else (),
        )
        self._settling, self.outcomes = settling, settling.outcomes
        self._recorded = {row.delivery_id for row in rows} & settling.write.keys()
        rejects = [manifest.extract_id for manifest in self._manifests if self._is_quarantined(manifest)]
        again = {
            manifest.extract_id
            for manifest in self._manifests
            if manifest.extract_id in settling.remove or manifest.origin.get("delivery_id") in self._recorded
        }
        landed = {each.extract_id: each.landed_at for each in self._settlements if each.extract_id is not None}
        return Decision(settling.load, settling.remove, rejects, again, effective_at=landed)

    def record(self, cursor: SnowflakeCursor) -> None:
        """Writes new and changed outcomes."""
        ledger.write_deliveries(cursor, self._database, list(self._settling.write.values()), again=self._recorded)

    def _overwritten(self, cursor: SnowflakeCursor, rows: Sequence[DeliveryRow]) -> set[str]:
        """The extracts whose content is delivered again, and of whose rows the table has fewer than were loaded."""
        contents = {each.content_sha256 for each in self._settlements}
        mine = {each.delivery_id for each in self._settlements}
        loaded = {
            str(row.extract_id): row.rows_loaded
            for row in rows
            if row.status == "loaded" and row.content_sha256 in contents and row.delivery_id not in mine
        }
        table = raw_table(self._database, self._feed.source, self._feed.table)
        there = count_by(cursor, table, EXTRACT_ID, loaded)
        return {extract_id for extract_id, rows_loaded in loaded.items() if there.get(extract_id, 0) < rows_loaded}

    def _is_quarantined(self, manifest: Manifest) -> bool:
        row = self._settling.write.get(str(manifest.origin.get("delivery_id")))
        return row is not None and row.status == "quarantined" and not manifest.files
