"""The assets of a partner's feeds: its inbound folder, the lake's extracts, the raw tables, and their checks.

Each partner has one step, of which a run can make a part. `automation.landing_run` has the body of the step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from data_platform.automation.arrivals import arrivals_check
from data_platform.automation.feed_checks import feed_check_specs
from data_platform.automation.landing_run import (
    FEED_METADATA,
    LandingConfig,
    inbound_key,
    lake_key,
    raw_key,
    run_landing,
)
from data_platform.contract import DELIVERY_ID, EXTRACT_ID, EXTRACTED_AT, RECORD_NUMBER, Contract
from data_platform.environment import settings
from data_platform.landing.feed import FeedRules
from data_platform.resources import LakeResource, LandingResource, WarehouseResource

_METADATA_COLUMNS = [
    dg.TableColumn(DELIVERY_ID, "VARCHAR", "The delivery that brought the row"),
    dg.TableColumn(RECORD_NUMBER, "NUMBER(19,0)", "The record's number in its file, from 1"),
    dg.TableColumn(EXTRACT_ID, "VARCHAR", "The extract that holds the row"),
    dg.TableColumn(EXTRACTED_AT, "TIMESTAMP_TZ(6)", "When the extract was written"),
]


@dataclass(frozen=True)
class Feed:
    """A feed as declared: its rules, and what the UI shows of it."""

    rules: FeedRules
    description: str
    owners: Sequence[str]
    tags: Mapping[str, str]
    declared_in: Path
    project_root: Path

    @cached_property
    def references(self) -> dict[str, Any]:
        """Links to the YAML that declares the feed, and to the page that explains it."""
        declared = self.declared_in.relative_to(self.project_root)
        repository = settings().repository_url
        if repository is None:
            code: Any = dg.LocalFileCodeReference(file_path=str(self.declared_in), line_number=1, label=str(declared))
            docs: Any = dg.MetadataValue.path(str(self.project_root / "docs" / "add-a-feed.md"))
        else:
            code = dg.UrlCodeReference(url=f"{repository}/blob/main/{declared}", label=str(declared))
            docs = dg.MetadataValue.url(f"{repository}/blob/main/docs/add-a-feed.md")
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]), "docs": docs}


class AsDeclared(dg.Definitions):
    """Definitions whose assets already link to the YAML that declares them.

    For such a link to the component's `defs.yaml`, Dagster builds every asset and its step a second time. That is a
    fifth of the time to load 2,000 feeds, and a feed's assets should link to the feed's own file instead.
    """

    def with_definition_metadata_update(self, update: Any) -> "AsDeclared":
        """Leaves the definitions as they are."""
        return self


def landing_definitions(partner: str, description: str, feeds: Sequence[Feed]) -> dg.Definitions:
    """One multi-asset for all feeds of a partner."""
    if not feeds:
        return dg.Definitions()
    rules = [feed.rules for feed in feeds]

    @dg.multi_asset(
        name=partner,
        description=description,
        specs=[spec for feed in feeds for spec in (_lake_spec(feed), _raw_spec(feed))],
        check_specs=[check for feed in feeds for check in feed_check_specs(feed.rules)],
        can_subset=True,
    )
    def land(
        context: dg.AssetExecutionContext,
        config: LandingConfig,
        lake: LakeResource,
        landing: LandingResource,
        warehouse: WarehouseResource,
    ) -> Iterator[Any]:
        yield from run_landing(context, config, rules, lake=lake, landing=landing, warehouse=warehouse)

    arrivals = arrivals_check(rules)
    return AsDeclared(
        assets=[land, *(_inbound_spec(feed) for feed in feeds)],
        asset_checks=[arrivals] if arrivals else [],
    )


def _inbound_spec(feed: Feed) -> dg.AssetSpec:
    """The partner's inbound folder, where lineage begins. The platform doesn't make it."""
    return dg.AssetSpec(
        inbound_key(feed.rules),
        description=f"Files that {feed.rules.partner} drops over SFTP: `{feed.rules.pattern}`",
        kinds={"sftp", "s3"},
        partitions_def=_partitions(feed.rules),
        **_common(feed),
    )


def _lake_spec(feed: Feed) -> dg.AssetSpec:
    return dg.AssetSpec(
        lake_key(feed.rules),
        deps=[inbound_key(feed.rules)],
        description=f"{feed.description}\n\nParquet extracts, one per delivery, with the rejects beside them.",
        kinds={"s3", "parquet"},
        skippable=True,
        code_version=feed.rules.contract.hash,
        partitions_def=_partitions(feed.rules),
        **_common(feed),
    )


def _raw_spec(feed: Feed) -> dg.AssetSpec:
    rules = feed.rules
    table = f"{settings().snowflake.database}.RAW_{rules.partner}.{rules.name}".upper()
    return dg.AssetSpec(
        raw_key(rules),
        deps=[lake_key(rules)],
        description=feed.description,
        kinds={"snowflake"},
        skippable=True,
        code_version=rules.contract.hash,
        partitions_def=_partitions(rules),
        **_common(
            feed,
            {
                "dagster/column_schema": _column_schema(rules.contract),
                "dagster/table_name": table,
                # As text: for JSON, Dagster's check encodes it again, which takes as long as the rest of the spec.
                FEED_METADATA: dg.MetadataValue.text(rules.model_dump_json()),
            },
        ),
    )


def _common(feed: Feed, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "group_name": feed.rules.partner,
        "owners": feed.owners,
        "tags": {**feed.tags, "source": feed.rules.partner},
        "metadata": {**feed.references, **(metadata or {})},
    }


def _column_schema(contract: Contract) -> dg.TableSchema:
    columns = [
        dg.TableColumn(
            column.name,
            column.snowflake_type,
            column.description or None,
            dg.TableColumnConstraints(nullable=column.nullable, unique=contract.key == (column.name,), other=[]),
        )
        for column in contract.columns
    ]
    key = [f"key {', '.join(contract.key)}"] if contract.key else []
    return dg.TableSchema([*columns, *_METADATA_COLUMNS], dg.TableConstraints(other=key))


def _partitions(rules: FeedRules) -> dg.PartitionsDefinition[str] | None:
    return _days(rules.partition.start.isoformat(), rules.time_zone) if rules.partition else None


@cache
def _days(start: str, time_zone: str) -> dg.PartitionsDefinition[str]:
    """The days in the partner's time zone, including today, because files arrive during their day."""
    return dg.DailyPartitionsDefinition(start_date=start, timezone=time_zone, end_offset=1)
