"""The job `retention`: deletes what has served its time, and reports how much."""

from collections.abc import Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from data_platform.automation.metric_lines import CREDITS, say
from data_platform.environment import settings
from data_platform.landing.bucket import LandingBucket
from data_platform.resources import LakeResource, WarehouseResource

KEY = dg.AssetKey(["operations", "retention"])
NAME = "retention"


def retention_definitions(
    owners: Sequence[str], *, extracts_days: int, rejects_days: int, receipts_days: int, cron: str
) -> dg.Definitions:
    """The asset that a sweep makes, its job and schedule. Cron is in the platform's time zone."""

    @dg.asset(
        key=KEY,
        description="Deletes what has served its time: orphaned parts and old extracts in the lake, rejects, receipts.",
        group_name="operations",
        owners=list(owners),
        kinds={"s3", "snowflake"},
        required_resource_keys={"lake", "landing", "warehouse"},
    )
    def retention(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        given = context.resources
        if settings().runs_on == "ecs":  # CloudWatch reads what a task prints
            _measure_credits(context, given.warehouse)
        return dg.MaterializeResult(
            metadata=sweep_all(
                given.lake,
                given.landing.bucket(),
                given.warehouse,
                now=datetime.now(UTC),
                extracts_after=timedelta(days=extracts_days),
                rejects_after=timedelta(days=rejects_days),
                receipts_after=timedelta(days=receipts_days),
            )
        )

    job = dg.define_asset_job(NAME, [KEY], description="Deletes what has served its time.")
    schedule = dg.ScheduleDefinition(
        name=NAME,
        job=job,
        cron_schedule=cron,
        execution_timezone=settings().time_zone,
        description="Deletes once a day what has served its time.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(assets=[retention], jobs=[job], schedules=[schedule])


def _measure_credits(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
    """Prints how much of the month's credits is used. Once a day is enough: the resource monitor itself stops the
    warehouse at its limit."""
    from data_platform.warehouse.credits import used_percent

    given = settings().snowflake
    with warehouse.open() as connection, connection.cursor() as cursor:
        used = used_percent(cursor, given.warehouse)
    if used is None:
        context.log.warning(
            f"{given.role} can't see the credits that {given.warehouse} uses. An administrator's"
            " `data-platform snowflake bootstrap` lets it."
        )
    else:
        say(CREDITS, used)


def sweep_all(
    lake: LakeResource,
    bucket: LandingBucket,
    warehouse: WarehouseResource,
    *,
    now: datetime,
    extracts_after: timedelta,
    rejects_after: timedelta,
    receipts_after: timedelta,
) -> dict[str, Any]:
    """Deletes, and returns how much as metadata. An extract is kept while its rows are in a table, while it may still
    be loaded, and for `extracts_after` in any case."""
    from data_platform.lake.sweep import sweep  # pyarrow, which loading definitions doesn't need
    from data_platform.landing import ledger as deliveries
    from data_platform.landing.receipts import delete_before
    from data_platform.warehouse import ledger as loads

    store, database = lake.lake(), settings().snowflake.database
    with warehouse.open() as connection, connection.cursor() as cursor:

        def needed(ids: Sequence[str]) -> Set[str]:
            return loads.in_a_table(cursor, database, ids) | deliveries.duplicates(cursor, database, ids)

        done = sweep(store, now=now, extracts_after=extracts_after, needed=needed)
        rejects = loads.delete_rejects(cursor, database, now - rejects_after)
        rejects += deliveries.delete_rejects(cursor, database, now - rejects_after)
    before = now - receipts_after
    return {
        "extracts": done.extracts,
        "orphans": done.orphans,
        "objects": done.objects,
        "bytes": done.bytes,
        "rejects": rejects,
        "receipts": delete_before(bucket.store, before) + delete_before(store.store, before),
    }
