"""The assets of a partner's feeds: its inbound folder, the lake's extracts, the raw tables, and their checks.

Each partner has one step, or several if it has many feeds (`step_names`). A run can make a part of a step.
`automation.landing_run` has the body of a step.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from data_platform.automation.arrivals import arrivals_check
from data_platform.automation.feed_checks import feed_check_specs
from data_platform.automation.feed_keys import FEED_METADATA, KIND_TAG, inbound_key, lake_key, raw_key
from data_platform.automation.landing_run import LandingConfig, run_landing, step_names
from data_platform.environment import settings
from data_platform.feeds.compute import Compute
from data_platform.feeds.files import FileFeedSpec
from data_platform.resources import LakeResource, LandingResource, WarehouseResource

_SHOWN = {"description", "owners", "tags", "compute"}
"""Fields that the asset itself shows: the landing sensor reads the others from its metadata."""


class AsDeclared(dg.Definitions):
    """Definitions whose assets already link to the YAML that declares them.

    For such a link to the component's `defs.yaml`, Dagster builds every asset and its step a second time. That is a
    fifth of the time to load 2,000 feeds, and a feed's assets should link to the feed's own file instead.
    """

    def with_definition_metadata_update(self, update: Any) -> "AsDeclared":
        """Leaves the definitions as they are."""
        return self


def landing_definitions(description: str, feeds: Sequence[FileFeedSpec]) -> dg.Definitions:
    """The assets and checks of a partner's feeds."""
    if not feeds:
        return dg.Definitions()
    steps, by_step = step_names(feeds), defaultdict(list)
    for feed in feeds:
        by_step[steps[feed.name]].append(feed)
    arrivals = arrivals_check(feeds)
    return AsDeclared(
        assets=[
            *(_step(name, description, part) for name, part in by_step.items()),
            _inbound_spec(description, feeds),
        ],
        asset_checks=[arrivals] if arrivals else [],
    )


def _step(name: str, description: str, feeds: Sequence[FileFeedSpec]) -> dg.AssetsDefinition:
    """One multi-asset for these feeds."""

    @dg.multi_asset(
        name=name,
        description=description,
        specs=[spec for feed in feeds for spec in (_lake_spec(feed), _raw_spec(feed))],
        check_specs=[check for feed in feeds for check in feed_check_specs(feed)],
        can_subset=True,
    )
    def land(
        context: dg.AssetExecutionContext,
        config: LandingConfig,
        lake: LakeResource,
        landing: LandingResource,
        warehouse: WarehouseResource,
    ) -> Iterator[Any]:
        yield from run_landing(context, config, feeds, lake=lake, landing=landing, warehouse=warehouse)

    return land


def _inbound_spec(description: str, feeds: Sequence[FileFeedSpec]) -> dg.AssetSpec:
    """The partner's inbound folder, where lineage begins. The platform doesn't make it."""
    source = feeds[0].source
    return dg.AssetSpec(
        inbound_key(feeds[0]),
        description=f"{description}\n\nThe files that {source} drops over SFTP.",
        group_name=source,
        kinds={FileFeedSpec.kind, "s3"},
        owners=sorted({owner for feed in feeds for owner in feed.owners}),
        tags={"source": source},
    )


def _lake_spec(feed: FileFeedSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        lake_key(feed),
        deps=[inbound_key(feed)],
        description=f"{feed.description}\n\nParquet extracts, one per delivery, with the rejects beside them.",
        kinds={"s3", "parquet"},
        skippable=True,
        code_version=feed.contract.hash,
        partitions_def=_partitions(feed),
        **_common(feed),
    )


def _raw_spec(feed: FileFeedSpec) -> dg.AssetSpec:
    table = f"{settings().snowflake.database}.RAW_{feed.source}.{feed.table}".upper()
    return dg.AssetSpec(
        raw_key(feed),
        deps=[lake_key(feed)],
        description=feed.description,
        kinds={"snowflake"},
        skippable=True,
        code_version=feed.contract.hash,
        partitions_def=_partitions(feed),
        **_common(
            feed,
            {
                "dagster/column_schema": _column_schema(feed),
                "dagster/table_name": table,
                # As text: for JSON, Dagster's check encodes it again, which takes as long as the rest of the spec.
                FEED_METADATA: dg.MetadataValue.text(feed.model_dump_json(exclude=_SHOWN)),
            },
        ),
    )


def _common(feed: FileFeedSpec, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "group_name": feed.source,
        "owners": feed.owners,
        "tags": {**feed.tags, **(feed.compute or Compute()).tags(), "source": feed.source, KIND_TAG: feed.kind},
        "metadata": {**_references(feed.declared_in, settings().repository_url), **(metadata or {})},
    }


@cache
def _references(declared_in: Path, repository: str | None) -> dict[str, Any]:
    """Links to the YAML that declares a feed, and to the page that explains it."""
    root = next((folder.parent.parent for folder in declared_in.parents if folder.name == "defs"), declared_in.parent)
    declared = declared_in.relative_to(root)
    if repository is None:
        code: Any = dg.LocalFileCodeReference(file_path=str(declared_in), line_number=1, label=str(declared))
        docs: Any = dg.MetadataValue.path(str(root / "docs" / "add-a-feed.md"))
    else:
        code = dg.UrlCodeReference(url=f"{repository}/blob/main/{declared}", label=str(declared))
        docs = dg.MetadataValue.url(f"{repository}/blob/main/docs/add-a-feed.md")
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]), "docs": docs}


def _column_schema(feed: FileFeedSpec) -> dg.TableSchema:
    key = feed.contract.key
    columns = [
        dg.TableColumn(
            column.name,
            column.snowflake_type,
            column.description or None,
            dg.TableColumnConstraints(nullable=column.nullable, unique=key == (column.name,), other=[]),
        )
        for column in feed.table_columns
    ]
    return dg.TableSchema(columns, dg.TableConstraints(other=[f"key {', '.join(key)}"] if key else []))


def _partitions(feed: FileFeedSpec) -> dg.PartitionsDefinition[str] | None:
    return _days(feed.partition.start.isoformat(), feed.time_zone) if feed.partition else None


@cache
def _days(start: str, time_zone: str) -> dg.PartitionsDefinition[str]:
    """The days in the partner's time zone, including today, because files arrive during their day."""
    return dg.DailyPartitionsDefinition(start_date=start, timezone=time_zone, end_offset=1)
