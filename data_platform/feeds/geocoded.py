"""Tables of geocoded addresses, as the `defs.yaml` of a geocoding service declares them: the folder's name is the
source's. What asks the service is in `geocode/`; its address and key are a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from data_platform.contract import Column, Contract
from data_platform.environment.connections import ADDRESS_SEARCH, CENSUS, System
from data_platform.feeds.compute import Compute
from data_platform.feeds.spec import Declared, LoadMode
from data_platform.feeds.tables import TableName, TablesDeclaration, TableSpec

SRID = 4326
_PLACE = ("address", "matched_address", "latitude", "longitude", "location")


class AddressSearchProvider(Declared):
    """A city's address search API, such as Philadelphia's AIS. `per_second`: the requests that it allows."""

    type: Literal["address_search"]
    per_second: float = Field(10.0, gt=0, le=1000)


class CensusProvider(Declared):
    """The US Census Bureau's batch geocoder. `city` and `state`: of addresses that are only a street. `batch`: how many
    addresses a request has."""

    type: Literal["census"]
    city: str = ""
    state: str = ""
    batch: int = Field(1_000, ge=1, le=10_000)


Provider = Annotated[AddressSearchProvider | CensusProvider, Field(discriminator="type")]


class SpendCap(Declared):
    """How many addresses the service is asked for, at most: in one run of a table, and in one day of the source's time
    zone by all tables. The others are asked for by later runs."""

    per_run: int = Field(10_000, ge=0)
    per_day: int = Field(20_000, ge=0)


class KeptDays(Declared):
    """For how many days an answer is used before the service is asked again."""

    matched: int = Field(365, ge=0)
    missed: int = Field(30, ge=0)


class GeocodedTableDeclaration(Declared):
    """One table: the places of the different addresses in one column. `from`: the asset that has them, a raw table such
    as raw/city_records/requests, or a model such as staging/stg_requests. `column`: its column. `minimum_match_rate`:
    the share of the addresses that have one place, below which the check `match_rate` fails. `personal`: whether the
    addresses are somebody's."""

    model_config = ConfigDict(populate_by_name=True)

    table: TableName
    from_: Annotated[
        str,
        Field(
            alias="from",
            pattern=r"^(raw/[a-z][a-z0-9_]*|[a-z][a-z0-9_]*)/[a-z][a-z0-9_]*$",
            examples=["raw/city_records/permits", "staging/stg_permits"],
        ),
    ]
    column: TableName
    description: str
    owners: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    compute: Compute | None = None
    minimum_match_rate: float = Field(0.8, ge=0, le=1)
    personal: bool = False


class GeocodedSpec(TableSpec):
    """One table of geocoded addresses."""

    model_config = ConfigDict(populate_by_name=True)
    kind: ClassVar[str] = "geocoded"
    part_of: ClassVar[str] = "a geocoding service"
    system: ClassVar[System] = ADDRESS_SEARCH

    provider: Provider
    cap: SpendCap = SpendCap()
    kept_days: KeptDays = KeptDays()
    from_: Annotated[str, Field(alias="from")]
    column: str
    minimum_match_rate: float
    load_mode: LoadMode = "replace"

    @property
    def connects_to(self) -> System:
        """What its connection leads to."""
        return CENSUS if self.provider.type == "census" else self.system

    @property
    def answers_of(self) -> str:
        """Under which name the service's answers are kept."""
        return f"{self.provider.type}/{self.connection}"

    def too_many_rejects(self, rejected: int, read: int) -> str | None:
        """None: there are no rejects, as an address without a place is a row that says why."""
        return None


class GeocoderDeclaration(TablesDeclaration):
    """The attributes of a GeocodedTables' `defs.yaml`. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION>
    holds the service's URL, with its key as the password."""

    spec: ClassVar[type[TableSpec]] = GeocodedSpec
    shared: ClassVar[tuple[str, ...]] = ("connection", "provider", "cap", "kept_days")

    provider: Provider
    cap: SpendCap = SpendCap()
    kept_days: KeptDays = KeptDays()
    tables: tuple[GeocodedTableDeclaration, ...]

    def _feed(self, table: Any, declared_in: Path) -> TableSpec:
        own = {name: value for name, value in self.inherited(table).items() if name != "personal"}
        return GeocodedSpec.model_validate(
            {
                **own,
                **{name: getattr(self, name) for name in ("schedule", *self.shared)},
                "contract": places(personal=table.personal),
                "source": declared_in.parent.name,
                "declared_in": declared_in,
            }
        )


def places(*, personal: bool = False) -> Contract:
    """The columns of every geocoded table."""
    columns: tuple[tuple[str, str, str], ...] = (
        ("address", "string", "The address, as it is in the table that has it"),
        ("status", "string", "matched, ambiguous, no_match, no_address or not_asked"),
        ("reason", "string", "Why the address has no place; none if it has one"),
        ("matched_address", "string", "The address as the geocoder writes it"),
        ("latitude", "decimal(9,6)", "Degrees north, WGS 84"),
        ("longitude", "decimal(9,6)", "Degrees east, WGS 84"),
        ("location", f"geometry({SRID})", "The place as a point"),
        ("precision", "string", "How the geocoder found the place, in its own words"),
        ("asked_at", "timestamp", "When the geocoder gave this answer"),
    )
    return Contract(
        key=("address",),
        columns=tuple(
            Column(
                name=name,
                type=type_,
                nullable=name not in ("address", "status"),
                description=description,
                personal=personal and name in _PLACE,
            )
            for name, type_, description in columns
        ),
    )
