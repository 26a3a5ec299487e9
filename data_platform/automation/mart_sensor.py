"""Reacts to the city's daily mart: a digest of it for every time that it was built, whoever built it.

An ordinary asset sensor sees the newest event of a tick only. This one reads on from the last event it has seen, by
storage id, so that nothing is passed over when the mart is built several times between ticks.
"""

import time
from itertools import takewhile

import dagster as dg

from data_platform.publish.digest import read_digest, write_digest
from data_platform.resources import LakeResource, WarehouseResource

MART = dg.AssetKey(["marts", "city_daily"])
EVENTS_PER_TICK = 100
SETTLE_SECONDS = 5.0
"""Ids are given before a writer commits, so an event with a lower id can show up after one with a higher id. Events
that young wait for the next tick."""


class BuiltEvent(dg.Config):
    """The materialization that a digest is of. Left out, as by hand, it is the mart's latest."""

    storage_id: int | None = None
    run_id: str = ""


@dg.asset(
    key=["operations", "city_daily_digest"],
    deps=[MART],
    group_name="operations",
    owners=["team:analytics"],
    kinds={"json", "s3"},
    description="For each time marts/city_daily was built: how many days it has and what they add up to, as JSON in"
    " the lake. Run by its sensor, once an event.",
)
def city_daily_digest(
    context: dg.AssetExecutionContext, config: BuiltEvent, warehouse: WarehouseResource, lake: LakeResource
) -> dg.MaterializeResult[None]:
    """Reads the mart as it is now; where it was built again meanwhile, the digest says when it was read."""
    storage_id, run_id = config.storage_id, config.run_id
    if storage_id is None:
        latest = context.instance.fetch_materializations(MART, limit=1).records
        if not latest:
            raise dg.Failure("marts/city_daily has not been built yet: build it first, its sensor does the rest")
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
    description="A digest for every time marts/city_daily was built.",
)
def city_daily_digest_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run an event; its run key is the event's storage id, so a tick that is repeated asks for nothing twice."""
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
