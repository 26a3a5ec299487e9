"""Which dbt models read which columns of the feeds' tables, from the models' SQL: no dbt process, no connection.

A model's Jinja is rendered with the project's macros; what only dbt knows becomes `null`. A model that can't be read
this way, or that takes all columns of something whose columns aren't known, is in `unread`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from jinja2 import ChainableUndefined, Environment, TemplateError

from data_platform.feeds.spec import FeedSpec

if TYPE_CHECKING:
    from sqlglot import exp

_SOURCES, _MODELS = "SOURCES", "MODELS"
"""Databases that stand for dbt's sources and models."""


class ColumnOf(NamedTuple):
    """A column of a feed's table (`<source>/<table>`) or of a model; both in lower case."""

    relation: str
    column: str


@dataclass
class Model:
    """A model: its file, the columns that its SQL reads, and for each of its own columns those that it is made of.
    `missing`: columns that it names, and that nothing that it reads has."""

    name: str
    path: Path
    reads: set[ColumnOf] = field(default_factory=set)
    columns: dict[str, set[ColumnOf]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Lineage:
    """The models of a project. `further`: {feed: columns that its table has beside its contract's}."""

    def __init__(
        self, project_dir: Path, feeds: Iterable[FeedSpec], further: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of SQL that it reads all the same
        self.unread: set[str] = set()
        self._project_dir = project_dir
        self._known: dict[str, list[str] | None] = {}
        self._complete: dict[str, bool] = {}
        for feed in feeds:
            names = [column.name for column in feed.table_columns]
            self._known[feed.name] = [
                *names,
                *(name for name in (further or {}).get(feed.name, ()) if name not in names),
            ]
            self._complete[feed.name] = feed.contract.drift != "evolve"
        self._files = {file.stem: file for file in sorted(project_dir.glob("models/**/*.sql"))}
        self._snapshots = dict(_snapshots(project_dir))
        self._models: dict[str, Model | None] = {}

    def models(self) -> list[Model]:
        """The models that can be read, each after those that it reads."""
        for name in (*self._files, *self._snapshots):
            self._model(name)
        return [model for model in self._models.values() if model is not None]

    def readers(self, feed: str, column: str) -> dict[str, list[str]]:
        """{model: its columns that are made of this column of a feed, directly or through other models}, of the models
        that read it. A model that only filters or joins by it has none."""
        affected = {ColumnOf(feed, column)}
        found: dict[str, list[str]] = {}
        for model in self.models():
            if not model.reads & affected:
                continue
            made = [name for name, of in model.columns.items() if of & affected]
            found[model.name] = made
            affected |= {ColumnOf(model.name, name) for name in made}
        return found

    def _model(self, name: str) -> Model | None:
        if name in self._models:
            return self._models[name]
        self._models[name] = None  # a circle of models, which dbt refuses, ends here
        try:
            if name in self._snapshots:
                model = self._snapshot(name, *self._snapshots[name])
            elif name in self._files:
                model = self._read(Model(name, self._files[name]))
            else:
                return None
        except Exception:  # SQL or Jinja that only dbt understands
            self.unread.add(name)
            return None
        del self._models[name]
        self._models[name] = model
        return model

    def _read(self, model: Model) -> Model:
        from sqlglot import exp, lineage, parse_one
        from sqlglot.optimizer.pushdown_projections import pushdown_projections
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import build_scope, traverse_scope
        from sqlglot.schema import MappingSchema

        tree = parse_one(self._sql(model), read="snowflake")
        if not isinstance(tree, exp.Query):
            raise LookupError(f"{model.name} is no query")
        schema = MappingSchema(dialect="snowflake")
        inputs = {self._relation(table): table for table in tree.find_all(exp.Table) if table.catalog}
        for relation, table in inputs.items():
            columns = self._columns(relation)
            if columns is not None:  # a seed's columns are known to dbt alone
                schema.add_table(table.copy(), {name.upper(): "VARIANT" for name in columns})
        qualified = qualify(tree, dialect="snowflake", schema=schema, validate_qualify_columns=False, identify=False)
        if qualified.is_star:
            raise LookupError(f"{model.name} has all columns of something whose columns aren't known")
        complete = all(self._is_complete(relation) for relation in inputs)
        self._complete[model.name] = complete
        if complete:
            unresolved = {
                column.name.lower() for scope in traverse_scope(qualified) for column in scope.unqualified_columns
            }
            model.missing = sorted(unresolved)
        qualified = pushdown_projections(qualified)
        for scope in traverse_scope(qualified):
            for column in scope.columns:
                read = scope.sources.get(column.table)
                if isinstance(read, exp.Table) and read.catalog:
                    model.reads.add(ColumnOf(self._relation(read), column.name.lower()))
        root = build_scope(qualified)
        for name in qualified.named_selects:
            made_of = set()
            for node in lineage.lineage(name, qualified, schema=schema, dialect="snowflake", scope=root).walk():
                if isinstance(node.expression, exp.Table) and node.expression.catalog:
                    column_name = node.name.rpartition(".")[2].strip('"').lower()
                    made_of.add(ColumnOf(self._relation(node.expression), column_name))
            model.columns[name.lower()] = made_of
        return model

    def _snapshot(self, name: str, file: Path, of: str) -> Model:
        """A snapshot has the columns of what it is of, and dbt's own."""
        columns = self._columns(of)
        if columns is None:
            raise LookupError(of)
        made: dict[str, set[ColumnOf]] = {column: {ColumnOf(of, column)} for column in columns}
        self._complete[name] = self._is_complete(of)
        own = ("dbt_valid_from", "dbt_valid_to", "dbt_scd_id", "dbt_updated_at", "dbt_is_deleted")
        return Model(name, file, {ColumnOf(of, column) for column in columns}, made | {each: set() for each in own})

    def _relation(self, table: exp.Table) -> str:
        """The name of a feed or model that a table in the rendered SQL stands for."""
        name = table.name.lower()
        return f"{table.db.lower()}/{name}" if table.catalog.upper() == _SOURCES else name

    def _columns(self, relation: str) -> list[str] | None:
        if relation in self._known:
            return self._known[relation]
        model = self._model(relation)
        return None if model is None else list(model.columns)

    def _is_complete(self, relation: str) -> bool:
        return self._complete.get(relation, False)

    def _sql(self, model: Model) -> str:
        """The model's SQL, with `"SOURCES"."<SOURCE>"."<TABLE>"` and `"MODELS"."DBT"."<MODEL>"` as tables."""

        def source(source: str, table: str) -> str:
            return f"{_SOURCES}.{source.upper()}.{table.upper()}"

        def ref(*names: str, **_: Any) -> str:
            return f"{_MODELS}.DBT.{names[-1].upper()}"

        text = model.path.read_text(encoding="utf-8")
        dbt = {
            "source": source,
            "ref": ref,
            "this": ref(model.name),
            "config": lambda *_, **__: "",
            "is_incremental": lambda: False,
            "env_var": lambda name, default="": default,
            "var": lambda name, default="null": default,
        }
        return self._jinja.from_string(self._macros + text).render(dbt)

    @cached_property
    def _jinja(self) -> Environment:
        return Environment(undefined=_OnlyDbtKnows, extensions=["jinja2.ext.do"])  # noqa: S701  # renders no HTML

    @cached_property
    def _macros(self) -> str:
        return "".join(self._readable(sorted(self._project_dir.glob("macros/**/*.sql"))))

    def _readable(self, files: Iterable[Path]) -> Iterator[str]:
        """The macros that are Jinja's; dbt's own blocks, such as tests, are none."""
        for file in files:
            text = file.read_text(encoding="utf-8")
            try:
                self._jinja.parse(text)
            except TemplateError:
                continue
            yield text


def _snapshots(project_dir: Path) -> Iterator[tuple[str, tuple[Path, str]]]:
    """(name, (file, the model or source that it is of)) of the snapshots that YAML declares."""
    for file in sorted(project_dir.glob("snapshots/**/*.y*ml")):
        for snapshot in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("snapshots") or ():
            of = re.findall(r"['\"]([^'\"]+)['\"]", str(snapshot.get("relation", "")))
            if of:
                yield snapshot["name"], (file, "/".join(of) if "source" in snapshot["relation"] else of[-1])


class _OnlyDbtKnows(ChainableUndefined):
    """What rendering doesn't know, such as `adapter` or a package's macro."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __str__(self) -> str:
        return "null"
