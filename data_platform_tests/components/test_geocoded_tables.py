"""The `defs.yaml` of a geocoder as Dagster's assets: what they are made from, what they follow, and their check."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from data_platform.automation.conditions import follows_its_input
from data_platform.automation.jobs import table_jobs
from data_platform.automation.match_rate import match_rate_result
from data_platform.cli.doctor import geocoders
from data_platform.cli.doctor.finding import Finding
from data_platform.components.geocoded_tables import GeocodedTables
from data_platform.components.scaffolds import GeocodedTablesScaffolder
from data_platform.environment import Settings
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.documents import DefinitionInvalid
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.warehouse.table import raw_table
from data_platform_tests.geocode.city import KEY, city, geocoded_feed
from data_platform_tests.warehouse.in_process import DATABASE, in_process

LAKE, RAW = (dg.AssetKey([stage, "address_search", "requests"]) for stage in ("lake", "raw"))
ORIGIN, INPUT = dg.AssetKey(["source", "address_search"]), dg.AssetKey(["raw", "city", "requests"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "defs" / "sources" / "geocoders" / "address_search" / "defs.yaml"
    file.parent.mkdir(parents=True)
    text = GeocodedTablesScaffolder.template.replace("{name}", "address_search")
    file.write_text(text.replace("raw/example/requests", "raw/city/requests"))
    return file


def definitions(file: Path) -> dg.Definitions:
    attributes: Any = GeocodedTables.get_model_cls().model_validate(yaml.safe_load(file.read_text())["attributes"])
    context: Any = SimpleNamespace(path=file.parent)
    built = GeocodedTables.load(attributes, context).build_defs(context)
    return dg.Definitions.merge(built, dg.Definitions(resources={"lake": None, "warehouse": None}))


def test_a_table_stands_behind_its_geocoder_and_its_input_in_the_pool_of_its_connection(file: Path) -> None:
    graph = definitions(file).resolve_asset_graph()
    assert graph.get(LAKE).parent_keys == {ORIGIN, INPUT}
    assert graph.get(RAW).parent_keys == {LAKE}
    assert graph.get(RAW).pools == {"connection/address_search"}
    assert {key.name for key in graph.get_check_keys_for_assets({RAW})} == {"contract", "match_rate"}
    assert list(table_jobs(declared_feeds(file.parents[3]))) == ["geocoding"]


@pytest.mark.parametrize(
    ("stated", "instead", "told"),
    [
        ("from: raw/city/requests", "from: city_requests", "from"),
        ("{type: address_search, per_second: 10}", "{type: guess}", "provider"),
        ("minimum_match_rate: 0.8", "minimum_match_rate: 80", "minimum_match_rate"),
        ("cap: {per_run: 5000,", "cap: {per_hour: 5000,", "per_hour"),
    ],
)
def test_a_wrong_declaration_names_the_field(file: Path, stated: str, instead: str, told: str) -> None:
    text = file.read_text()
    assert stated in text
    file.write_text(text.replace(stated, instead))
    with pytest.raises(DefinitionInvalid, match=told):
        declared_feeds(file.parents[3])


def test_somebodys_addresses_and_their_places_are_personal(file: Path) -> None:
    file.write_text(file.read_text().rstrip() + "\n      personal: true\n")
    (feed,) = declared_feeds(file.parents[3])
    assert isinstance(feed, GeocodedSpec)
    assert feed.contract.personal == {"address", "matched_address", "latitude", "longitude", "location"}


def test_the_doctor_asks_for_one_address_and_shows_no_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geocoders, "DEFS", file.parents[3])
    variable = "DATA_PLATFORM_CONNECTION_ADDRESS_SEARCH"
    with city() as town:

        def found(url: str) -> Finding:
            (one,) = geocoders.geocoders(Settings.from_environment({variable: url}))
            return one

        base = f"127.0.0.1:{town.web.port}/address_search/v1"
        good = found(f"http://any:{KEY}@{base}")
        assert (good.state, good.found) == ("ok", "answers: 1 MAIN STREET is no_match")
        wrong = found(f"http://any:planted@{base}")
        assert wrong.state == "failed" and "answered 401" in wrong.found and "planted" not in repr(wrong)
        missing = found("")
        assert missing.state == "failed" and f"{variable} is missing" in missing.found


class Watched:
    """An input, and a table that is made from it and from a source that Dagster knows nothing of."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        @dg.asset(key=INPUT)
        def requests() -> None: ...

        condition = follows_its_input()

        @dg.multi_asset(
            specs=[
                dg.AssetSpec(LAKE, deps=[ORIGIN, INPUT], automation_condition=condition, skippable=True),
                dg.AssetSpec(RAW, deps=[LAKE], automation_condition=condition, skippable=True),
            ],
            can_subset=True,
        )
        def geocode(context: dg.AssetExecutionContext) -> Iterator[Any]:
            for key in (LAKE, RAW):
                if key in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=key)

        self.defs = dg.Definitions(assets=[requests, geocode, dg.AssetSpec(ORIGIN)])
        self.instance = instance
        self.cursor: Any = None

    def make(self, *keys: dg.AssetKey) -> None:
        job = self.defs.resolve_implicit_global_asset_job_def()
        job.execute_in_process(asset_selection=list(keys), instance=self.instance)

    def tick(self) -> set[dg.AssetKey]:
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {key for key in (INPUT, LAKE, RAW) if result.get_num_requested(key)}


def test_a_table_follows_its_input_in_one_run_and_only_once() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        watched = Watched(instance)
        assert watched.tick() == set(), "the input has no data yet"
        watched.make(INPUT)
        assert watched.tick() == {LAKE, RAW}
        watched.make(LAKE, RAW)
        assert watched.tick() == set()
        watched.make(INPUT)
        assert watched.tick() == {LAKE, RAW}
        assert watched.tick() == set(), "a run that fails isn't requested on every tick"


def test_the_check_counts_matches_of_what_was_asked_for_and_lists_misses(tmp_path: Path) -> None:
    feed = geocoded_feed()
    with in_process(tmp_path) as (connection, _), connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA RAW_GEOCODER")
        cursor.execute("CREATE TABLE RAW_GEOCODER.REQUESTS (ADDRESS VARCHAR, STATUS VARCHAR, REASON VARCHAR)")

        def evaluated(*rows: tuple[str, str]) -> dg.AssetCheckResult:
            cursor.execute("DELETE FROM RAW_GEOCODER.REQUESTS")
            for number, (status, reason) in enumerate(rows):
                cursor.execute(
                    "INSERT INTO RAW_GEOCODER.REQUESTS SELECT %s, %s, NULLIF(%s, '')", [f"{number} A", status, reason]
                )
            return match_rate_result(feed, connection, RAW, raw_table(DATABASE, "geocoder", "requests"))  # type: ignore[arg-type]

        half = evaluated(("matched", ""), ("no_match", "unknown"), ("not_asked", "the cap"))
        assert half.passed and half.metadata["match rate"].value == 0.5
        worse = evaluated(("matched", ""), ("no_match", "unknown"), ("no_match", "unknown"))
        assert not worse.passed and "33.3% of 3 addresses have one place, expected 50%" in str(worse.description)
        reasons: Any = worse.metadata["reasons"]
        (reason,) = reasons.records
        assert reason.data == {"status": "no_match", "reason": "unknown", "addresses": 2}
        assert evaluated().passed, "without addresses there is nothing to miss"
