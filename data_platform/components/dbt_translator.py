"""Asset keys, groups, tags, links and descriptions of dbt nodes in Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from data_platform.automation.conditions import follows_its_tables
from data_platform.feeds.compute import Compute
from data_platform.runs.sizes import size_tags
from data_platform.runs.usage import usage_metadata


class ModelTranslator(DagsterDbtTranslator):
    """A model's key is `<folder>/<name>`, its group the folder: `marts/city_daily`. Sources name their raw asset in
    `meta.dagster.asset_key`. Links to a model's SQL and YAML lead to `repository_url`, or to this machine's files."""

    def __init__(self, repository_url: str | None = None, compute: Compute | None = None) -> None:
        # Code references are set below: dagster-dbt knows local files only.
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=True))
        self._repository_url = repository_url
        self._compute = compute

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Folder and name; for a source, its raw asset's key."""
        if dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        return dg.AssetKey([_folder(dbt_resource_props), dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The folder: staging, intermediate, marts or snapshots."""
        return _folder(dbt_resource_props)

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The description alone: the SQL is a link away."""
        return str(dbt_resource_props["description"])

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The model's tags in dbt, and the size of a run that builds it."""
        return {**super().get_tags(dbt_resource_props), **size_tags(self._compute)}

    def get_automation_condition(self, dbt_resource_props: Mapping[str, Any]) -> dg.AutomationCondition[Any]:
        """Models follow the tables that they read."""
        return follows_its_tables()

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Adds links to the model's SQL and to the YAML that describes it."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        if project is None or props["resource_type"] == "source":
            return spec
        written = str(props["original_file_path"])
        described = str(props.get("patch_path") or "").partition("://")[2] or written
        return spec.merge_attributes(
            metadata={
                "dagster/code_references": dg.CodeReferencesMetadataValue(
                    code_references=[self._reference(Path(project.project_dir), written)]
                ),
                "docs": self._link(Path(project.project_dir), described),
            }
        )

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetCheckSpec | None:
        """A test as a check, blocking if its severity is error, with its description, or one of what it tests."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        return spec and spec._replace(description=props.get("description") or describe_test(props))

    def _reference(self, project_dir: Path, file: str) -> Any:
        label = f"{project_dir.name}/{file}"
        if self._repository_url is None:
            return dg.LocalFileCodeReference(file_path=str(project_dir / file), line_number=1, label=label)
        return dg.UrlCodeReference(url=self._url(project_dir, file), label=label)

    def _link(self, project_dir: Path, file: str) -> dg.MetadataValue[Any]:
        if self._repository_url is None:
            return dg.MetadataValue.path(str(project_dir / file))
        return dg.MetadataValue.url(self._url(project_dir, file))

    def _url(self, project_dir: Path, file: str) -> str:
        return f"{self._repository_url}/blob/main/{project_dir.name}/{file}"


def describe_test(props: Mapping[str, Any]) -> str:
    """What a generic test tests, in a sentence. `props`: the test in dbt's manifest."""
    test = props.get("test_metadata") or {}
    given, column = test.get("kwargs", {}), props.get("column_name")
    match test.get("name"):
        case "not_null":
            return f"{column} is never null."
        case "unique":
            return f"No two rows have the same {column}."
        case "unique_combination":
            return f"No two rows have the same {' and '.join(given['columns'])}."
        case "accepted_values":
            return f"{column} is one of {', '.join(map(str, given['values']))}."
        case "relationships":
            to = str(given["to"]).removeprefix("ref('").removesuffix("')")
            return f"Each {column} is in {to} ({given['field']})."
        case "within_range":
            limits = [f"{word.replace('_', ' ')} {given[word]}" for word in ("at_least", "at_most") if word in given]
            return f"{column} is {' and '.join(limits)}."
    return f"The dbt test {test.get('name') or props['name']}{f' of {column}' if column else ''} finds no row."


def with_usage(events: Iterable[Any]) -> Iterator[Any]:
    """The events, those of built models with the memory and CPU time that the run has used so far."""
    for event in events:
        if isinstance(event, dg.AssetMaterialization | dg.Output):
            event = event.with_metadata({**(event.metadata or {}), **usage_metadata()})
        yield event


def _folder(props: Mapping[str, Any]) -> str:
    return "snapshots" if props["resource_type"] == "snapshot" else str(props["fqn"][1])
