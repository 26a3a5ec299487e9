"""A partner's feed of meter readings, delivered and loaded in a line."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from snowflake.connector import SnowflakeConnection

from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.files import DELIVERY_ID, RECORD_NUMBER, FileFeedSpec
from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.landing.outcomes import DeliveryRow, Settlement
from data_platform.landing.policy import DeliveryPolicy
from data_platform.warehouse.load import LoadResult, load_extracts
from data_platform.warehouse.schema import apply_schema, plan_schema
from data_platform.warehouse.table import TableRef, raw_table

DATABASE = "DATA_PLATFORM"
NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
CONTRACT = FileContract.model_validate(
    {
        "columns": [
            {"name": "meter_id", "type": "string", "nullable": False},
            {"name": "litres", "type": "decimal(12,3)"},
        ],
        "key": ["meter_id"],
    }
)
METADATA = [pa.field(DELIVERY_ID, pa.string(), False), pa.field(RECORD_NUMBER, pa.int64(), False)]


@dataclass(frozen=True)
class Delivered:
    """A delivery with its extract."""

    settlement: Settlement
    manifest: Manifest


@dataclass(frozen=True)
class Loaded(LoadResult):
    """What a load did, the outcomes of its deliveries, and those of others that it changed."""

    outcomes: Mapping[str, DeliveryRow] = field(default_factory=dict)
    corrected: Sequence[DeliveryRow] = ()


def spec_of(partner: str, contract: FileContract, mode: LoadMode) -> FileFeedSpec:
    return FileFeedSpec(source=partner, table="meter_readings", pattern=".*", contract=contract, load_mode=mode)


def load(
    connection: SnowflakeConnection,
    lake: Lake,
    spec: FileFeedSpec,
    deliveries: Sequence[Delivered],
    *,
    also: Sequence[Settlement] = (),
    reload: bool = False,
) -> Loaded:
    """Loads deliveries, and records those that have no extract."""
    manifests = [each.manifest for each in deliveries]
    settlements = [*(each.settlement for each in deliveries), *also]
    policy = DeliveryPolicy(DATABASE, spec, manifests, None if reload else settlements, lake=lake, run_id="run")
    result = load_extracts(
        connection, DATABASE, spec, manifests, lake=lake, policy=policy, run_id="run", query_tag="test"
    )
    done = {each.name: getattr(result, each.name) for each in fields(result)}
    return Loaded(**done, outcomes=policy.outcomes, corrected=policy.corrected)


@dataclass
class Feed:
    """Each test's own table. Readings are {meter: litres}."""

    lake: Lake
    connection: SnowflakeConnection
    contract: FileContract = CONTRACT
    mode: LoadMode = "append"
    partner: str = field(default_factory=lambda: f"p{uuid.uuid4().hex[:12]}")
    landed: int = 0

    @property
    def table(self) -> TableRef:
        return raw_table(DATABASE, self.partner, "meter_readings")

    def deliver(
        self,
        file_name: str,
        readings: Mapping[str, Any],
        *,
        partition: str | None = None,
        rejects: int = 0,
        landed_minutes: int | None = None,
    ) -> Delivered:
        """A file that lands a minute after the one before, and its extract."""
        self.landed += 1
        minutes = self.landed if landed_minutes is None else landed_minutes
        delivery_id = uuid.uuid4().hex
        content = hashlib.sha256(str(readings).encode()).hexdigest()
        landed_at = NOON + timedelta(minutes=minutes)
        origin = {
            "file_name": file_name,
            "version_id": f"v{self.landed}",
            "etag": '"e"',
            "size_bytes": len(str(readings)),
        }
        origin |= {"object_key": f"inbound/{self.partner}/{file_name}", "landed_at": landed_at.isoformat()}
        position = {"sha256": content, "rows_read": len(readings) + rejects, "rows_rejected": rejects}
        manifest = self.extract(
            delivery_id,
            readings,
            partition=partition,
            rejects=rejects,
            origin=origin,
            position={**position, "quarantined": None},
        )
        settlement = Settlement(
            delivery_id=delivery_id,
            partner=self.partner,
            feed="meter_readings",
            file_name=file_name,
            object_key=f"inbound/{self.partner}/{file_name}",
            version_id=f"v{self.landed}",
            etag='"e"',
            size_bytes=len(str(readings)),
            content_sha256=content,
            landed_at=landed_at,
            partition=partition,
            status="loaded",
            rows_read=len(readings) + rejects,
            rows_rejected=rejects,
            extract_id=delivery_id,
        )
        return Delivered(settlement, manifest)

    def extract(
        self,
        delivery_id: str,
        readings: Mapping[str, Any],
        *,
        partition: str | None = None,
        rejects: int = 0,
        origin: Mapping[str, Any] | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> Manifest:
        schema = pa.schema([*self.contract.arrow_schema, *METADATA])
        rows = [
            {"meter_id": meter, "litres": litres, DELIVERY_ID: delivery_id, RECORD_NUMBER: number}
            for number, (meter, litres) in enumerate(readings.items(), start=1)
        ]
        bad = pa.RecordBatch.from_pydict(
            {
                "record_number": pa.array(range(1, rejects + 1), pa.int64()),
                "column_name": pa.array(["litres"] * rejects, pa.string()),
                "reason": pa.array(["not a number"] * rejects, pa.string()),
                "raw_text": pa.array(["m,many"] * rejects, pa.string()),
            }
        )
        return self.lake.write_extract(
            ExtractKey(self.partner, "meter_readings", delivery_id, partition),
            schema,
            [pa.RecordBatch.from_pylist(rows, schema=schema)] if rows else [],
            rejects=[bad] if rejects else [],
            contract_hash=self.contract.hash,
            origin={"delivery_id": delivery_id, **(origin or {})},
            position_to=position,
            reject_columns=self.spec.reject_columns,
        )

    @property
    def spec(self) -> FileFeedSpec:
        return spec_of(self.partner, self.contract, self.mode)

    def prepare(self) -> None:
        apply_schema(self.connection, plan_schema(self.connection, self.table, self.spec.table_columns))

    def load(
        self,
        *deliveries: Delivered,
        also: Sequence[Settlement] = (),
        connection: SnowflakeConnection | None = None,
        reload: bool = False,
    ) -> Loaded:
        return load(connection or self.connection, self.lake, self.spec, deliveries, also=also, reload=reload)

    def rows(self) -> dict[str, Any]:
        """{meter: litres} of the table; fails on a doubled meter."""
        found = self.query(f"SELECT METER_ID, LITRES FROM {self.table.sql}")
        assert len({meter for meter, _ in found}) == len(found), f"doubled rows: {found}"
        return {meter: None if litres is None else int(litres) for meter, litres in found}

    def outcomes(self) -> dict[str, int]:
        found = self.query(
            "SELECT STATUS, COUNT(*) FROM PLATFORM.CURRENT_DELIVERIES WHERE PARTNER = %s GROUP BY STATUS", self.partner
        )
        return {status: int(count) for status, count in found}

    def query(self, sql: str, *bound: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            return list(cursor.execute(sql.replace("PLATFORM.", f"{DATABASE}.PLATFORM."), bound or None))
