"""What a load of deliveries decides and records, within its transaction: outcomes, supersession, duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.landing import history, ledger
from data_platform.landing.outcomes import DeliveryRow, Settlement, Settling, decide
from data_platform.warehouse.load_rules import require_manifest
from data_platform.warehouse.policy import Decision
from data_platform.warehouse.rows import count_by, time_of_record
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


_USUAL = 100
"""How many deliveries' row counts the usual one is taken from."""


class DeliveryPolicy:
    """The policy of one load of a file feed's deliveries. `settlements`: what is wanted for each; None loads again what
    the ledger says of the manifests' deliveries. Of a quarantined delivery, the manifest holds only rejects.

    Filled by the load, once it has recorded them: `outcomes`, the ledger rows of these deliveries by id, and
    `corrected`, those of other deliveries whose outcome they have changed. `usual_rows`: the row counts of the feed's
    latest deliveries before.
    """

    def __init__(
        self,
        database: str,
        feed: FileFeedSpec,
        manifests: Sequence[Manifest],
        settlements: Sequence[Settlement] | None,
        *,
        lake: Lake,
        run_id: str | None,
    ) -> None:
        wanted = {each.extract_id for each in settlements or () if each.extract_id}
        missing = wanted - {each.extract_id for each in manifests}
        if missing:
            raise ValueError(f"{feed.name}: no manifest of {sorted(missing)}; give each loaded delivery's manifest")
        self.outcomes: Mapping[str, DeliveryRow] = {}
        self.corrected: Sequence[DeliveryRow] = ()
        self.usual_rows: Sequence[int] = ()
        self._database = database
        self._feed = feed
        self._manifests = manifests
        self._settlements = settlements
        self._lake = lake
        self._run_id = run_id
        self._settling = Settling()

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """Decides by the ledger's rows."""
        mode, reload = self._feed.load_mode, self._settlements is None
        settlements = self._settled(cursor) if self._settlements is None else self._settlements
        if not settlements:
            return Decision()
        self.usual_rows = history.latest_row_counts(cursor, self._database, self._feed, limit=_USUAL)
        rows = ledger.related_deliveries(cursor, self._database, settlements, mode)
        settling = decide(
            settlements,
            rows,
            mode=mode,
            run_id=self._run_id,
            now=time_of_record(row.settled_at for row in rows),
            reload=reload,
            overwritten=self._overwritten(cursor, rows, settlements) if mode == "merge" else (),
        )
        self._settling = settling
        given = {manifest.extract_id: manifest for manifest in self._manifests}
        landed = {row.extract_id: row for row in (*rows, *settling.write.values()) if row.extract_id is not None}
        load = [
            dated(self._feed, given.get(each) or self._read(landed[each]), landed[each].landed_at)
            for each in settling.load
        ]
        in_table = {row.extract_id for row in settling.outcomes.values() if row.status == "loaded"}
        recorded = {row.delivery_id for row in rows}
        again = {each.extract_id for each in self._manifests if each.origin.get("delivery_id") in recorded}
        return Decision(
            load=load,
            remove=settling.remove,
            kept=[each for each in self._manifests if each.extract_id in in_table - set(settling.load)],
            rejects=[manifest for manifest in self._manifests if self._is_quarantined(manifest)],
            again=again,
        )

    def record(self, cursor: SnowflakeCursor) -> None:
        """Writes new and changed outcomes."""
        settling = self._settling
        corrected = [row for each, row in settling.write.items() if each not in settling.outcomes]
        before = [row.delivery_id for each, row in settling.outcomes.items() if each not in settling.write]
        if before:  # an earlier try has loaded them, and may not have told the partner what they changed
            corrected += ledger.corrected_by(cursor, self._database, self._feed, before)
        ledger.write_deliveries(cursor, self._database, list(settling.write.values()))
        self.outcomes, self.corrected = settling.outcomes, corrected

    def _settled(self, cursor: SnowflakeCursor) -> list[Settlement]:
        """What the ledger says of the deliveries whose extracts are given, as wishes."""
        ids = [str(manifest.origin.get("delivery_id")) for manifest in self._manifests]
        extracts = {manifest.extract_id for manifest in self._manifests}
        rows = ledger.settled_deliveries(cursor, self._database, ids).values()
        names = [field.name for field in fields(Settlement)]
        return [
            Settlement(**{name: getattr(row, name) for name in names})
            for row in rows
            if row.status == "loaded" and row.extract_id in extracts
        ]

    def _overwritten(
        self, cursor: SnowflakeCursor, rows: Sequence[DeliveryRow], settlements: Sequence[Settlement]
    ) -> set[str]:
        """The extracts whose content is delivered again, and of whose rows the table has fewer than were loaded."""
        contents = {each.content_sha256 for each in settlements}
        mine = {each.delivery_id for each in settlements}
        loaded = {
            str(row.extract_id): row.rows_loaded
            for row in rows
            if row.status == "loaded" and row.content_sha256 in contents and row.delivery_id not in mine
        }
        table = raw_table(self._database, self._feed.source, self._feed.table)
        there = count_by(cursor, table, EXTRACT_ID, loaded)
        return {extract_id for extract_id, rows_loaded in loaded.items() if there.get(extract_id, 0) < rows_loaded}

    def _read(self, row: DeliveryRow) -> Manifest:
        """The manifest of a duplicate that is loaded after all."""
        return require_manifest(
            self._lake, ExtractKey(self._feed.source, self._feed.table, str(row.extract_id), row.partition)
        )

    def _is_quarantined(self, manifest: Manifest) -> bool:
        row = self._settling.write.get(str(manifest.origin.get("delivery_id")))
        return row is not None and row.status == "quarantined" and not manifest.files


def dated(feed: FileFeedSpec, manifest: Manifest, landed_at: datetime) -> Manifest:
    """The manifest, with the time at which its data was true: it may be of an earlier release, which didn't say, or of
    a time when the feed had another load mode."""
    return replace(manifest, effective_at=feed.effective_at(manifest.partition, landed_at))
