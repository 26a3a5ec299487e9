"""The demo's example of an asset and a sensor in Python: a digest of `marts/city_daily` each time somebody builds it.

An ordinary asset sensor reports only the newest event of a tick. This one continues from the storage id of the last
event it saw, so that it misses no build when the mart is built several times between ticks.
"""

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.resources import LakeResource, WarehouseResource

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from snowflake.connector import SnowflakeConnection

MART = dg.AssetKey(["marts", "city_daily"])
EVENTS_PER_TICK = 100
SETTLE_SECONDS = 5.0
"""A storage id is assigned before its writer commits, so an event can appear after one with a higher id. The sensor
leaves events younger than this for the next tick."""

_TOTALS = (
    "SELECT COUNT(*), MIN(LOCAL_DAY), MAX(LOCAL_DAY), SUM(LITRES), SUM(PARKING_SESSIONS), SUM(PARKING_REVENUE)"
    " FROM MARTS.CITY_DAILY"
)


@dataclass(frozen=True)
class CityDailyDigest:
    """The mart at `read_at`. Sums are decimals as text, None where the mart has only nulls."""

    days: int
    first_day: str | None
    last_day: str | None
    litres: str | None
    parking_sessions: str | None
    parking_revenue: str | None
    query_id: str
    read_at: str


def read_digest(connection: "SnowflakeConnection") -> CityDailyDigest:
    """Reads the mart in one query."""
    cursor = connection.cursor()
    cursor.execute(_TOTALS)
    row: Any = cursor.fetchone()
    first, last, litres, sessions, revenue = (None if value is None else str(value) for value in row[1:])
    return CityDailyDigest(
        days=int(row[0]),
        first_day=first,
        last_day=last,
        litres=litres,
        parking_sessions=sessions,
        parking_revenue=revenue,
        query_id=str(cursor.sfqid),
        read_at=datetime.now(UTC).isoformat(),
    )


def write_digest(store: "ObjectStore", event: int, run_id: str | None, digest: CityDailyDigest) -> str:
    """Writes the digest of a materialization event to the lake and returns its key. A second try replaces the first.
    Keys sort in the order of the events."""
    key = f"digests/city_daily/{event:012d}.json"
    body = {"event": event, "built_by_run": run_id, **asdict(digest)}
    store.put(key, json.dumps(body, indent=2).encode())
    return key


class BuiltEvent(dg.Config):
    """The materialization to write a digest of. Without it, as in a run by hand, the mart's latest."""

    storage_id: int | None = None
    run_id: str = ""


@dg.asset(
    key=["operations", "city_daily_digest"],
    deps=[MART],
    group_name="operations",
    owners=["team:analytics"],
    kinds={"json", "s3"},
    description="For each build of marts/city_daily: the number of its days and the sums over them, as JSON in the"
    " lake. Its sensor requests one run per build.",
)
def city_daily_digest(
    context: dg.AssetExecutionContext, config: BuiltEvent, warehouse: WarehouseResource, lake: LakeResource
) -> dg.MaterializeResult[None]:
    """Reads the mart as it is now. If it has been built again since, `read_at` in the digest tells."""
    storage_id, run_id = config.storage_id, config.run_id
    if storage_id is None:
        latest = context.instance.fetch_materializations(MART, limit=1).records
        if not latest:
            raise dg.Failure("marts/city_daily has not been built yet. Build it: the sensor then requests a digest.")
        storage_id, run_id = latest[0].storage_id, latest[0].run_id
    with warehouse.open() as connection:
        digest = read_digest(connection)
    key = write_digest(lake.lake().store, storage_id, run_id, digest)
    return dg.MaterializeResult(
        metadata={
            "days": digest.days,
            "first day": digest.first_day,
            "last day": digest.last_day,
            "litres": digest.litres,
            "parking sessions": digest.parking_sessions,
            "parking revenue": digest.parking_revenue,
            "query id": digest.query_id,
            "object": key,
            "of event": storage_id,
            "built by": dg.MetadataValue.dagster_run(run_id),
        }
    )


@dg.sensor(
    name="city_daily_digest",
    target=[city_daily_digest],
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a digest for each build of marts/city_daily.",
)
def city_daily_digest_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Requests one run per event. The run key is the event's storage id, so a repeated tick requests nothing twice."""
    seen = int(context.cursor) if context.cursor else None
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=MART, after_storage_id=seen), limit=EVENTS_PER_TICK, ascending=True
    ).records
    settled = time.time() - SETTLE_SECONDS
    events = list(takewhile(lambda record: record.timestamp <= settled, records))
    if not events:
        return dg.SkipReason("marts/city_daily has not been built since the last tick")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=str(event.storage_id),
                run_config=dg.RunConfig(
                    {"operations__city_daily_digest": BuiltEvent(storage_id=event.storage_id, run_id=event.run_id)}
                ),
                tags={"dagster/max_retries": "2"},
            )
            for event in events
        ],
        cursor=str(events[-1].storage_id),
    )
