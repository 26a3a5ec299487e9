"""The YAML of config-driven pipelines between an enterprise database ("Databridge") and CARTO, as this platform's.

Such a system has a file a table: `schedule`, `table_schema`, `table_name`, `select_users`, `indexes_fields`,
`geometry_type`, `geometry_srid`. In others the folder or the file's name has the schema and the table, and keys are
called `schedule_interval`, `carto_users`, `indexes` (https://github.com/CityOfPhiladelphia/databridge-airflow, its
`dags/` folder) or `account_name`, `primary_keys` (.../airflow-iac-dags).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from data_platform.feeds.cron import Cron

_SAME = {
    "schedule": ("schedule", "schedule_interval"),
    "schema": ("table_schema", "account_name", "source_schema"),
    "table": ("table_name",),
    "users": ("select_users", "carto_users", "carto_permissions"),
    "indexes": ("indexes_fields", "index_fields", "indexes"),
    "key": ("primary_keys", "primary_key"),
    "geometry": ("geometry_type",),
    "srid": ("geometry_srid", "srid"),
    "geometry_field": ("geometry_field",),
    "carto": ("upload_to_carto",),
    "connection": ("carto_conn_id",),
    "knack": ("knack_object_id",),
    "knack_connection": ("knack_conn_id",),
    "history": ("track_history",),
}
"""What a key means, by the names that it has."""
_MEANS = {name: meaning for meaning, names in _SAME.items() for name in names}
_INSTEAD = {
    "carto_executor": "runs are sized by `compute` of the source",
    "executor": "runs are sized by `compute` of the source",
    "upload_to_ago": "nothing publishes to ArcGIS Online; open data files can be read by it",
    "ago_access": "nothing publishes to ArcGIS Online",
    "execution_timeout": "a statement times out after an hour, and a run by the instance's run monitoring",
    "status": "delete the table's entry, or list its schedule in no environment",
    "share_privileges": "who reads a mart is granted in Snowflake",
    "json_schema_s3_key": "the contract in the YAML has the columns; `data-platform discover` writes them",
    "retries": "a failed table is read again by the next run",
    "migrated": "it says which system has the table",
}
_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


class NotAConfig(Exception):
    """A file is no such configuration. The message says what was expected."""


@dataclass(frozen=True)
class Config:
    """One table's, as it was read."""

    file: Path
    schema: str
    table: str
    schedule: str = ""
    users: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    geometry: str = ""
    srid: int | None = None
    geometry_field: str = "shape"
    carto: bool = False
    connection: str = "carto"
    knack: str = ""
    history: bool = False
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The folder of its source."""
        return _named(self.schema)

    @property
    def feed(self) -> str:
        """Its table's name here."""
        return _named(self.table)


@dataclass
class Converted:
    """The files, by their paths below the project, and what has no counterpart, by the configuration's file."""

    files: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def read_config(file: Path) -> Config:
    """A table's configuration. Raises NotAConfig."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotAConfig(f"{file}: not YAML: {error}") from None
    if not isinstance(found, dict) or not any(name in _MEANS for name in found):
        raise NotAConfig(f"{file}: expected keys such as schedule, table_schema, table_name, select_users")
    given: dict[str, Any] = {}
    for name, value in found.items():
        if name in _MEANS and value is not None:
            given[_MEANS[name]] = value
    # Without them, the name of the file or of its folder says so: gis_lni__violations.yml, lni/violations.yml.
    schema, apart, table = file.stem.partition("__")
    schema, table = (schema, table) if apart else (file.parent.name, file.stem)
    try:
        return Config(
            file,
            schema=str(given.get("schema", schema)),
            table=str(given.get("table", table)).rpartition(".")[2],
            schedule=str(given.get("schedule", "")),
            users=_words(given.get("users")),
            indexes=tuple(map(_named, _words(given.get("indexes")))),
            key=tuple(map(_named, _words(given.get("key")))),
            geometry=str(given.get("geometry", "")),
            srid=int(given["srid"]) if "srid" in given else None,
            geometry_field=_named(str(given.get("geometry_field", "shape"))),
            carto=bool(given.get("carto", "users" in given or "indexes" in given)),
            connection=_named(str(given.get("connection", "carto"))),
            knack=str(given.get("knack", "")),
            history=bool(given.get("history")),
            others={name: value for name, value in found.items() if name not in _MEANS and value is not None},
        )
    except (TypeError, ValueError) as error:
        raise NotAConfig(f"{file}: {error}") from None


def convert(configs: Sequence[Config], *, connection: str, owner: str, time_zone: str) -> Converted:
    """The YAML of all tables: a source a schema, and a publication and its model for each table that went to CARTO."""
    made = Converted()
    by_source: dict[str, list[Config]] = defaultdict(list)
    for config in configs:
        notes = made.notes[str(config.file)]
        notes += _notes(config)
        if config.knack:
            notes.append(
                f"knack_object_id {config.knack}: declare it with `dg scaffold defs"
                f" data_platform.components.KnackObjects sources/knack/{config.source}`, from: object_{config.knack}"
            )
            continue
        by_source[config.source].append(config)
    for source, of in by_source.items():
        schedule = _schedule_of(of)
        made.files[f"data_platform/defs/sources/databases/{source}/defs.yaml"] = _document(
            "SqlTables", _source(of, connection, owner, time_zone, schedule)
        )
        for config in of:
            if config.schedule and (schedule is None or _cron(config) != schedule):
                made.notes[str(config.file)].insert(0, _other_schedule(config, schedule))
            if config.carto:
                folder = f"data_platform/defs/publish/carto/{config.feed}"
                made.files[f"{folder}/defs.yaml"] = _document("CartoDataset", _publication(config, owner))
                made.files[f"dbt_project/models/staging/{source}/{_model(config)}.sql"] = _sql(config)
    return made


def _schedule_of(configs: Sequence[Config]) -> str | None:
    """The schedule that most of a source's tables have, as cron; None if none of them can be kept."""
    found = Counter(cron for config in configs if (cron := _cron(config)) is not None)
    return found.most_common(1)[0][0] if found else None


def _cron(config: Config) -> str | None:
    cron = _PRESETS.get(config.schedule, config.schedule)
    try:
        return TypeAdapter(Cron).validate_python(cron)
    except ValidationError:
        return None


def _other_schedule(config: Config, schedule: str | None) -> str:
    if _cron(config) is None:
        kept = f"its source is read at {schedule!r}" if schedule else "its source is read each day at 05:30"
        return f"schedule {config.schedule!r}: it isn't cron with five fields of numbers; {kept}"
    return f"schedule {config.schedule!r}: its source has one schedule, {schedule!r}, which most of its tables had"


def _source(
    configs: Sequence[Config], connection: str, owner: str, time_zone: str, schedule: str | None
) -> dict[str, Any]:
    return {
        "description": f"The schema {configs[0].schema} of {connection}.",
        "time_zone": time_zone,
        "owners": [owner],
        "connection": connection,
        **({"schedule": schedule} if schedule else {}),
        "tables": [_table(config) for config in sorted(configs, key=lambda config: config.feed)],
    }


def _table(config: Config) -> dict[str, Any]:
    """The columns that the configuration names: `discover` adds the others, and their types."""
    key = config.key or ("objectid",)
    columns: list[dict[str, Any]] = [{"name": name, "type": "string", "nullable": False} for name in key]
    columns += [{"name": name, "type": "string"} for name in config.indexes if name not in key]
    if config.geometry:
        columns.append({"name": config.geometry_field, "type": f"geometry({config.srid or 4326})"})
    return {
        "table": config.feed,
        "from": f"{config.schema}.{config.table}",
        "description": f"The table {config.schema}.{config.table}.",
        "load_mode": "history" if config.history else "replace",
        "contract": {"key": list(key), "drift": "reject", "columns": columns},
    }


def _publication(config: Config, owner: str) -> dict[str, Any]:
    return {
        "from": f"staging/{_model(config)}",
        "description": f"The table {config.schema}.{config.table}.",
        "owners": [owner],
        "connection": config.connection,
        "key": list(config.key or ("objectid",)),
        **({"geometry": {"column": config.geometry_field}} if config.geometry else {}),
        **({"indexes": list(config.indexes)} if config.indexes else {}),
        **({"select_users": list(config.users)} if config.users else {}),
    }


def _model(config: Config) -> str:
    return f"stg_{config.source}__{config.feed}"


def _sql(config: Config) -> str:
    """CARTO takes shapes in degrees."""
    left_out, shape = ["_extract_id", "_extracted_at"], ""
    if config.geometry and config.srid not in (None, 4326):
        left_out.append(config.geometry_field)
        shape = f",\n    st_transform({config.geometry_field}, 4326) as {config.geometry_field}"
    return (
        f"with\n\n{config.feed} as (\n\n    select * from {{{{ source('{config.source}', '{config.feed}') }}}}\n\n)\n\n"
        f"select\n    * exclude ({', '.join(left_out)}){shape}\nfrom {config.feed}\n"
    )


def _notes(config: Config) -> Iterator[str]:
    if not config.key and not config.knack:
        yield "it names no key: objectid stands in its place; check it"
    for name, value in config.others.items():
        yield f"{name}: {value!r}: no counterpart; {_INSTEAD.get(name, 'find out what it was for')}"


def _document(component: str, attributes: dict[str, Any]) -> str:
    text = yaml.safe_dump(
        {"type": f"data_platform.components.{component}", "attributes": attributes},
        sort_keys=False,
        allow_unicode=True,
        width=116,
    )
    return f"# Converted by `data-platform convert databridge-config`.\n{text}"


def _words(value: Any) -> tuple[str, ...]:
    """A list, or words between commas."""
    if value is None or isinstance(value, bool):
        return ()
    found = value if isinstance(value, list) else str(value).split(",")
    return tuple(dict.fromkeys(str(each).strip() for each in found if str(each).strip()))


def _named(text: str) -> str:
    """A name of a folder, a table or a column: lower-case letters, digits and _, a letter first."""
    found = re.sub(r"[^a-z0-9_]+", "_", text.strip().lower()).strip("_")
    return found if found[:1].isalpha() else f"t_{found}"
