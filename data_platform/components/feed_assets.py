"""The assets of a source's feeds: the source itself, the lake's extracts, the raw tables, and their checks.

Each source has one step, or several if it has many feeds (`step_names`). A run can make a part of a step.
`automation.feed_run` has the body of a step.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from data_platform.automation.feed_checks import feed_check_specs
from data_platform.automation.feed_keys import feed_metadata, lake_key, origin_key, raw_key, step_names
from data_platform.automation.feed_run import FeedConfig, OpenSources, run_feeds
from data_platform.environment import settings
from data_platform.feeds.spec import FeedSpec
from data_platform.runs.sizes import size_tags

_SHOWN = {"description", "owners", "tags", "compute"}
"""Fields that the asset itself shows: sensors read the others from its metadata."""


@dataclass(frozen=True)
class SourceKind:
    """How the feeds of one kind of source run. `open_sources` opens their sources in a run, with its `config` and the
    resources of these keys. `origin_kinds`: what the UI shows of the source itself; `extracts`: what it says of the
    feeds' extracts; `docs`: the page that explains it. `pool`: the pool of the runs that read a feed, or None.
    `inputs`: other assets that a feed's extracts are made from, which its assets follow by `condition`."""

    open_sources: OpenSources
    origin_kinds: Set[str]
    extracts: str
    docs: str
    config: type[FeedConfig] = FeedConfig
    resources: Set[str] = frozenset()
    pool: Callable[[Any], str | None] = lambda feed: None
    inputs: Callable[[Any], Sequence[dg.AssetKey]] = lambda feed: ()
    condition: dg.AutomationCondition[Any] | None = None


class AsDeclared(dg.Definitions):
    """Definitions whose assets already link to the YAML that declares them.

    For such a link to the component's `defs.yaml`, Dagster builds every asset and its step a second time. That is a
    fifth of the time to load 2,000 feeds, and a feed's assets should link to the feed's own file instead.
    """

    def with_definition_metadata_update(self, update: Any) -> "AsDeclared":
        """Leaves the definitions as they are."""
        return self


def feed_definitions(
    description: str,
    origin: str,
    feeds: Sequence[FeedSpec],
    kind: SourceKind,
    *,
    invalid: Sequence[dg.AssetSpec] = (),
    checks: Sequence[dg.AssetChecksDefinition] = (),
) -> dg.Definitions:
    """The assets and checks of a source's feeds. `origin` describes the source itself; `invalid` takes the place of
    feeds that are wrong; `checks`: further ones."""
    if not feeds:
        return dg.Definitions(assets=invalid)
    steps, by_step = step_names(feeds), defaultdict(list)
    for feed in feeds:
        by_step[steps[feed.name]].append(feed)
    return AsDeclared(
        assets=[
            *(_step(name, description, part, kind) for name, part in by_step.items()),
            _origin_spec(origin, feeds, kind),
            *invalid,
        ],
        asset_checks=checks,
    )


def _step(name: str, description: str, feeds: Sequence[FeedSpec], kind: SourceKind) -> dg.AssetsDefinition:
    """One multi-asset for these feeds."""
    config_type = kind.config

    @dg.multi_asset(
        name=name,
        description=description,
        specs=[spec for feed in feeds for spec in (_lake_spec(feed, kind), _raw_spec(feed, kind))],
        check_specs=[check for feed in feeds for check in feed_check_specs(feed)],
        required_resource_keys={"lake", "warehouse", *kind.resources},
        can_subset=True,
        pool=kind.pool(feeds[0]),
    )
    def ingest(context: dg.AssetExecutionContext, config: config_type) -> Iterator[Any]:  # type: ignore[valid-type]
        yield from run_feeds(context, config, feeds, kind.open_sources)

    return ingest


def _origin_spec(description: str, feeds: Sequence[FeedSpec], kind: SourceKind) -> dg.AssetSpec:
    """The source itself, where lineage begins. The platform doesn't make it."""
    return dg.AssetSpec(
        origin_key(feeds[0]),
        description=description,
        group_name=feeds[0].source,
        kinds=set(kind.origin_kinds),
        owners=sorted({owner for feed in feeds for owner in feed.owners}),
        tags={"source": feeds[0].source},
    )


def _lake_spec(feed: FeedSpec, kind: SourceKind) -> dg.AssetSpec:
    return dg.AssetSpec(
        lake_key(feed),
        deps=[origin_key(feed), *kind.inputs(feed)],
        automation_condition=kind.condition,
        description=f"{feed.description}\n\n{kind.extracts}",
        kinds={"extracts", "s3", "parquet"},
        skippable=True,
        code_version=feed.contract.hash,
        partitions_def=_partitions(feed),
        **_common(feed, kind),
    )


def _raw_spec(feed: FeedSpec, kind: SourceKind) -> dg.AssetSpec:
    table = f"{settings().snowflake.database}.RAW_{feed.source}.{feed.table}".upper()
    return dg.AssetSpec(
        raw_key(feed),
        deps=[lake_key(feed)],
        automation_condition=kind.condition,
        description=feed.description,
        kinds={"table", "snowflake"},
        skippable=True,
        code_version=feed.contract.hash,
        partitions_def=_partitions(feed),
        **_common(
            feed,
            kind,
            {
                "dagster/column_schema": _column_schema(feed),
                "dagster/table_name": table,
                # As text: for JSON, Dagster's check encodes it again, which takes as long as the rest of the spec.
                feed_metadata(feed.kind): dg.MetadataValue.text(feed.model_dump_json(exclude=_SHOWN)),
            },
        ),
    )


def _common(feed: FeedSpec, kind: SourceKind, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "group_name": feed.source,
        "owners": feed.owners,
        "tags": {**feed.tags, **size_tags(feed.compute), "source": feed.source},
        "metadata": {**_references(feed.declared_in, settings().repository_url, kind.docs), **(metadata or {})},
    }


@cache
def _references(declared_in: Path, repository: str | None, page: str) -> dict[str, Any]:
    """Links to the YAML that declares a feed, and to the page that explains it."""
    root = next((folder.parent.parent for folder in declared_in.parents if folder.name == "defs"), declared_in.parent)
    declared = declared_in.relative_to(root)
    if repository is None:
        code: Any = dg.LocalFileCodeReference(file_path=str(declared_in), line_number=1, label=str(declared))
        docs: Any = dg.MetadataValue.path(str(root / "docs" / page))
    else:
        code = dg.UrlCodeReference(url=f"{repository}/blob/main/{declared}", label=str(declared))
        docs = dg.MetadataValue.url(f"{repository}/blob/main/docs/{page}")
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]), "docs": docs}


def _column_schema(feed: FeedSpec) -> dg.TableSchema:
    key = feed.contract.key
    columns = [
        dg.TableColumn(
            column.name,
            column.snowflake_type,
            column.description or None,
            dg.TableColumnConstraints(nullable=column.nullable, unique=key == (column.name,), other=[]),
            tags={"personal": ""} if column.personal else None,
        )
        for column in feed.table_columns
    ]
    return dg.TableSchema(columns, dg.TableConstraints(other=[f"key {', '.join(key)}"] if key else []))


def _partitions(feed: FeedSpec) -> dg.PartitionsDefinition[str] | None:
    return _days(feed.partition.start.isoformat(), feed.time_zone) if feed.partition else None


@cache
def _days(start: str, time_zone: str) -> dg.PartitionsDefinition[str]:
    """The days in the source's time zone, including today, because files arrive during their day."""
    return dg.DailyPartitionsDefinition(start_date=start, timezone=time_zone, end_offset=1)
