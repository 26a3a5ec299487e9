"""Publications, as their `defs.yaml` declares them, in `publish/<target>/<dataset>/`. The folder's name is the
dataset's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_platform.environment.connections import CARTO, System
from data_platform.feeds.documents import Document
from data_platform.feeds.spec import Declared

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
"""A name in CARTO's PostgreSQL, with room for `__previous`."""
_FROM = r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$"
OWN = frozenset(("the_geom", "the_geom_webmercator", "cartodb_id", "geometry"))
"""The names of columns that publishing adds."""


class Geometry(Declared):
    """Where the points or shapes come from: two columns in degrees of WGS 84, or one of Snowflake's types GEOMETRY (in
    SRID 4326) or GEOGRAPHY."""

    longitude: str | None = None
    latitude: str | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        two = self.longitude is not None and self.latitude is not None
        if two == (self.column is not None) or (self.longitude is None) != (self.latitude is None):
            raise ValueError(
                "expected {longitude: <column>, latitude: <column>}, or {column: <a GEOMETRY or GEOGRAPHY>}"
            )
        return self


class Publication(Declared):
    """The attributes of every publication. `from`: the model, `<folder>/<name>`. `columns`: those to publish, in this
    order; default: all that the model has. `key`: the columns that identify a row, by which rows are ordered.
    `rows_may_change_by`: a version whose number of rows differs by more percent than this is not published."""

    target: ClassVar[str]

    from_: str = Field(alias="from", pattern=_FROM, examples=["marts/dim_parks"])
    description: str
    owners: tuple[str, ...] = Field(min_length=1)
    key: tuple[str, ...] = Field(min_length=1)
    columns: tuple[str, ...] | None = Field(None, min_length=1)
    geometry: Geometry | None = None
    rows_may_change_by: float = Field(20, gt=0, description="percent")
    fresh_within_hours: int = Field(36, ge=1)

    @model_validator(mode="after")
    def _columns_are_there(self) -> Self:
        if self.columns is None:
            return self
        for name in self.key:
            if name not in self.columns:
                raise ValueError(f"key: {name!r} is not one of the columns")
        for name in self.columns:
            if name in OWN or self.columns.count(name) > 1:
                raise ValueError(f"columns: {name!r} is listed twice, or is a name that publishing adds itself")
        return self


class CartoPublication(Publication):
    """The attributes of a CartoDataset. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds
    `https://<user>:<API key>@<user>.carto.com`. `select_users`: the database users who may read it; `publicuser` is
    everybody. `indexes`: columns to index beside the geometry."""

    target: ClassVar[str] = "carto"
    system: ClassVar[System] = CARTO

    connection: str = Field("carto", pattern=r"^[a-z][a-z0-9_]*$", examples=["carto"])
    select_users: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = ()
    indexes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _indexes_are_there(self) -> Self:
        for name in self.indexes:
            if self.columns is not None and name not in self.columns:
                raise ValueError(f"indexes: {name!r} is not one of the columns")
        return self


Format = Literal["csv", "geojson", "geoparquet"]


class Contact(Declared):
    """Who answers questions about the data."""

    name: str
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", examples=["data@example.org"])


class FilesPublication(Publication):
    """The attributes of an OpenDataFiles: what DCAT-US 1.1 asks for, and the formats. `url`: the address at which the
    lake's folder `publications/` is served."""

    target: ClassVar[str] = "files"

    title: str
    publisher: str
    contact: Contact
    keywords: tuple[str, ...] = Field(min_length=1)
    license: str | None = Field(
        None, pattern=r"^https?://", examples=["https://creativecommons.org/publicdomain/zero/1.0/"]
    )
    url: str = Field(pattern=r"^https?://[^/]+", examples=["https://data.example.org/publications"])
    formats: tuple[Format, ...] = ("csv", "geojson", "geoparquet")


KINDS: dict[str, type[Publication]] = {
    "data_platform.components.CartoDataset": CartoPublication,
    "data_platform.components.OpenDataFiles": FilesPublication,
}


class Dataset(Declared):
    """A publication with its name, which is its folder's."""

    name: Name
    publication: CartoPublication | FilesPublication

    @property
    def target(self) -> str:
        """`carto` or `files`."""
        return self.publication.target

    @property
    def id(self) -> str:
        """`<target>/<dataset>`, in messages and in the ledger."""
        return f"{self.target}/{self.name}"


def declared_datasets(defs: Path) -> list[Dataset]:
    """Every publication below the folder `defs/`, by id. Raises DefinitionInvalid."""
    return sorted(_read(defs), key=lambda dataset: dataset.id)


def dataset_of(publication: Publication, folder: Path) -> Dataset:
    """The publication that the folder's `defs.yaml` declares. Raises ValidationError for a name that can't be one."""
    return Dataset.model_validate({"name": folder.name, "publication": publication})


def _read(defs: Path) -> Iterator[Dataset]:
    for path in sorted(defs.glob("publish/*/*/defs.yaml")):
        document = Document.read(path)
        if (kind := KINDS.get(document.component)) is not None:
            yield dataset_of(document.attributes(kind), path.parent)
