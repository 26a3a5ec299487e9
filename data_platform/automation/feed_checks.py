"""The checks on every feed's table, evaluated after each load.

`contract` counts rows that break the contract, and blocks downstream models. It looks at the rows that the run loaded,
and for their keys in the table. It looks at the whole table if it didn't pass last time, so that bad rows keep it red
until they are gone, if the contract has changed since, and once a day where the feed declares `audit: daily`.

`catalog`, of feeds whose source has one, is in `catalog_check.py`, `deliveries`, of file feeds, in `delivery_check.py`,
and `match_rate`, of geocoded tables, in `match_rate.py`. Missing files are the business of `arrivals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from data_platform.automation.catalog_check import catalog_check_result, catalog_check_spec
from data_platform.automation.check_results import latest_results
from data_platform.automation.delivery_check import delivery_check_result, delivery_check_spec
from data_platform.automation.feed_keys import raw_key
from data_platform.automation.match_rate import match_rate_result, match_rate_spec
from data_platform.contract import EXTRACT_ID, EXTRACTED_AT, VALID_TO, quoted
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.table import TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.extract.ingest import Ingested
    from data_platform.extract.source import Source
    from data_platform.lake.manifest import Manifest
    from data_platform.landing.source import DeliverySource

CONTRACT = "contract"
_AUDIT_SECONDS = 24 * 60 * 60
_AUDITED_AT = "whole table checked at"
_CONTRACT_HASH = "contract"
_VIOLATIONS_SHOWN = 10
_EXTRACTS_NAMED = 1_000
"""Where a run loaded more, the statement that names them would be long, and the whole table is checked."""


def feed_check_specs(feed: FeedSpec) -> list[dg.AssetCheckSpec]:
    """The specs of a feed's checks."""
    table = raw_key(feed)
    specs = [
        dg.AssetCheckSpec(
            CONTRACT,
            asset=table,
            blocking=True,
            description="No loaded row has a null where the contract forbids it, or a key that another row has. If this"
            " fails, the next load checks the whole table.",
        )
    ]
    if feed.has_catalog:
        specs.append(catalog_check_spec(table))
    if isinstance(feed, FileFeedSpec):
        specs.append(delivery_check_spec(table))
    if isinstance(feed, GeocodedSpec):
        specs.append(match_rate_spec(feed, table))
    return specs


def feed_check_keys(feed: FeedSpec) -> list[dg.AssetCheckKey]:
    """The keys of a feed's checks."""
    return [spec.key for spec in feed_check_specs(feed)]


def feed_check_results(
    source: Source,
    result: Ingested,
    connection: SnowflakeConnection,
    table: dg.AssetKey,
    instance: dg.DagsterInstance,
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates a feed's checks after a load."""
    past = [stored.evaluation for stored in latest_results(instance, dg.AssetCheckKey(table, CONTRACT))]
    yield _contract(source.feed, result, connection, table, past)
    if source.feed.has_catalog:
        yield catalog_check_result(source, table)
    if isinstance(source.feed, FileFeedSpec):
        yield delivery_check_result(cast("DeliverySource", source), connection, table)
    if isinstance(source.feed, GeocodedSpec):
        yield match_rate_result(source.feed, connection, table, result.target)


def _contract(
    feed: FeedSpec,
    result: Ingested,
    connection: SnowflakeConnection,
    table: dg.AssetKey,
    past: Sequence[dg.AssetCheckEvaluation],
) -> dg.AssetCheckResult:
    now = datetime.now(UTC).timestamp()
    audited_at = max((float(_value(each, _AUDITED_AT) or 0) for each in past), default=0.0)
    audit_due = feed.audit == "daily" and now - audited_at >= _AUDIT_SECONDS
    passed = bool(past) and past[0].passed and _value(past[0], _CONTRACT_HASH) == feed.contract.hash
    whole = not passed or audit_due or len(result.manifests) > _EXTRACTS_NAMED
    where = None if whole else _rows_of(result.manifests)
    broken, metadata = _broken(
        feed,
        connection,
        result.target,
        where,
        repeated_keys=result.repeated_keys,
        audited_at=now if whole else audited_at,
    )
    return dg.AssetCheckResult(
        passed=not broken,
        check_name=CONTRACT,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_told(feed, broken),
        metadata=metadata,
    )


def contract_evaluation(feed: FeedSpec, connection: SnowflakeConnection, target: TableRef) -> dg.AssetCheckEvaluation:
    """The check `contract` of a whole table that no run has made: models wait for a result."""
    now = datetime.now(UTC).timestamp()
    broken, metadata = _broken(feed, connection, target, None, audited_at=now)
    return dg.AssetCheckEvaluation(
        asset_key=raw_key(feed),
        check_name=CONTRACT,
        passed=not broken,
        metadata=metadata,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_told(feed, broken),
        blocking=True,
    )


def _broken(
    feed: FeedSpec,
    connection: SnowflakeConnection,
    target: TableRef,
    where: str | None,
    *,
    audited_at: float,
    repeated_keys: int = 0,
) -> tuple[dict[str, int], dict[str, Any]]:
    """How many of the rows that `where` selects (None: of all) break the contract, by what they break, and the check's
    metadata."""
    with connection.cursor() as cursor:
        rows = rows_to_check(feed, target)
        cursor.execute(feed.contract.violation_counts_sql(rows, where))
        (row,) = cursor.fetchall()
        counts = dict(zip((column.name for column in cursor.description), row, strict=True))
        checked = counts.pop("ROWS_CHECKED")
        counts["REPEATED_KEYS"] = repeated_keys
        broken = {name.lower(): count for name, count in counts.items() if count}
        shown = {"violations": _violations(cursor, feed, rows, where)} if broken else {}
    return broken, {
        "rows checked": checked,
        **broken,
        **shown,
        _AUDITED_AT: dg.MetadataValue.timestamp(audited_at),
        _CONTRACT_HASH: feed.contract.hash,
    }


def _violations(cursor: SnowflakeCursor, feed: FeedSpec, table: str, where: str | None) -> dg.MetadataValue[Any]:
    """Some of the rows that break the contract, by key, without personal values."""
    cursor.execute(feed.contract.violations_sql(table, where, _VIOLATIONS_SHOWN))
    names = (*feed.contract.identifying, "what is wrong")
    rows = [["null" if value is None else str(value) for value in row] for row in cursor.fetchall()]
    return dg.MetadataValue.table([dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows])


def _told(feed: FeedSpec, broken: Mapping[str, int]) -> str | None:
    return f"The table breaks the contract of {feed.name}: {broken}" if broken else None


def _value(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    found = evaluation.metadata.get(name)
    return None if found is None else found.value


def rows_to_check(feed: FeedSpec, table: TableRef) -> str:
    """SQL of the rows that the contract holds for: the table; of a history, its current versions."""
    if feed.load_mode != "history":
        return table.sql
    return f"(SELECT * FROM {table.sql} WHERE {quoted(VALID_TO)} IS NULL)"


def _rows_of(manifests: Sequence[Manifest]) -> str:
    """The SQL condition of these extracts' rows. The times let Snowflake skip the other parts of the table, which lie
    in the order in which they were loaded."""
    if not manifests:
        return "FALSE"
    times = [manifest.started_at for manifest in manifests]
    first, last = (f"{literal(time.isoformat())}::TIMESTAMP_TZ" for time in (min(times), max(times)))
    listed = ", ".join(literal(manifest.extract_id) for manifest in manifests)
    return f"{quoted(EXTRACTED_AT)} BETWEEN {first} AND {last} AND {quoted(EXTRACT_ID)} IN ({listed})"
