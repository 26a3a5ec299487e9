"""When models follow the tables they read, on a graph like the platform's: partitioned raw, unpartitioned dbt."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from data_platform.automation.conditions import follows_its_tables
from data_platform.runs.interrupted import keep_check_results

DAYS = dg.DailyPartitionsDefinition(start_date="2026-03-01", end_date="2026-03-10")
FIRST, SECOND = "2026-03-07", "2026-03-08"
WATER, PARKING = dg.AssetKey(["raw", "water"]), dg.AssetKey(["raw", "parking"])
STAGED, STAGED_PARKING = dg.AssetKey(["staging", "water"]), dg.AssetKey(["staging", "parking"])
MART, CITY = dg.AssetKey(["marts", "water"]), dg.AssetKey(["marts", "city"])
WATER_PUBLISHED, CITY_PUBLISHED = (dg.AssetKey(["publication", "carto", name]) for name in ("water", "city"))
CONTRACT = dg.AssetCheckSpec("contract", asset=WATER, blocking=True)
TESTED = dg.AssetCheckSpec("unique", asset=STAGED, blocking=True)
MART_TESTED = dg.AssetCheckSpec("complete", asset=MART, blocking=True)


def definitions(broken: set[str]) -> dg.Definitions:
    """Two raw tables loaded by day; models over them in one step, as dbt's are. `broken`: names of what fails."""

    @dg.multi_asset(
        specs=[dg.AssetSpec(WATER), dg.AssetSpec(PARKING)],
        check_specs=[CONTRACT],
        partitions_def=DAYS,
        can_subset=True,
    )
    def raw(context: dg.AssetExecutionContext) -> Iterator[object]:
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(asset_key=key)
        if CONTRACT.key in context.selected_asset_check_keys:
            yield dg.AssetCheckResult(passed="contract" not in broken, asset_key=WATER, check_name="contract")

    def model(key: dg.AssetKey, *deps: dg.AssetKey) -> dg.AssetSpec:
        return dg.AssetSpec(key, deps=deps, automation_condition=follows_its_tables(), skippable=True)

    @dg.multi_asset(
        specs=[
            model(STAGED, WATER),
            model(STAGED_PARKING, PARKING),
            model(MART, STAGED),
            model(CITY, MART, STAGED_PARKING),
        ],
        check_specs=[TESTED, MART_TESTED],
        can_subset=True,
    )
    def models(context: dg.AssetExecutionContext) -> Iterator[object]:
        for key in (STAGED, STAGED_PARKING, MART, CITY):
            if key not in context.selected_asset_keys:
                continue
            if key.path[-1] in broken:
                raise dg.Failure(f"{key.to_user_string()} is broken")
            if f"ctrl-c before {key.path[0]}" in broken:
                raise KeyboardInterrupt
            yield dg.MaterializeResult(asset_key=key)
            if f"ctrl-c after {key.path[0]}" in broken:
                raise KeyboardInterrupt
            if key == MART:
                yield dg.AssetCheckResult(passed="complete" not in broken, asset_key=MART, check_name="complete")
            if key == STAGED:
                yield dg.AssetCheckResult(passed="unique" not in broken, asset_key=STAGED, check_name="unique")
                if "unique" in broken:
                    raise dg.Failure("as dbt build fails when a test does")

    @dg.multi_asset(specs=[model(WATER_PUBLISHED, MART), model(CITY_PUBLISHED, CITY)], can_subset=True)
    def publications(context: dg.AssetExecutionContext) -> Iterator[object]:
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key)

    return dg.Definitions(assets=[raw, models, publications])


@dataclass
class Platform:
    """Ticks and loads, one after the other, on an instance that lasts a test."""

    instance: dg.DagsterInstance
    broken: set[str] = field(default_factory=set)
    cursor: object = None
    publications: set[dg.AssetKey] = field(default_factory=set)
    """What the last tick asks to publish."""

    def __post_init__(self) -> None:
        self.defs = definitions(self.broken)

    def load(self, key: dg.AssetKey, day: str) -> None:
        """A landing run loads one day of one raw table, and checks it."""
        self._run({key}, day)

    def tick(self, later: timedelta = timedelta()) -> set[dg.AssetKey]:
        """What one tick asks for. `later`: so much after now."""
        result = dg.evaluate_automation_conditions(
            self.defs, self.instance, cursor=self.cursor, evaluation_time=datetime.now(UTC) + later
        )
        self.cursor = result.cursor
        self.publications = {key for key in (WATER_PUBLISHED, CITY_PUBLISHED) if result.get_num_requested(key)}
        asked = {WATER, PARKING, STAGED, STAGED_PARKING, MART, CITY}
        return {key for key in asked if result.get_num_requested(key)}

    def build(self, keys: set[dg.AssetKey]) -> bool:
        """The run that a tick asked for. Returns whether it succeeded."""
        return self._run(keys)

    def _run(self, keys: set[dg.AssetKey], day: str | None = None) -> bool:
        job = self.defs.resolve_implicit_global_asset_job_def()
        with suppress(KeyboardInterrupt):
            job.execute_in_process(
                asset_selection=sorted(keys), partition_key=day, instance=self.instance, raise_on_error=False
            )
        (run,) = self.instance.get_runs(limit=1)
        if not run.is_finished:
            self.instance.report_run_canceled(run)
        if not run.is_success:
            keep_check_results(self.instance, run.run_id)
        return run.is_success


@pytest.fixture
def platform() -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance)


@pytest.fixture
def loaded(platform: Platform) -> Platform:
    """Both raw tables hold their first day, and nothing follows yet."""
    platform.load(WATER, FIRST)
    platform.load(PARKING, FIRST)
    return platform


@pytest.fixture
def built(loaded: Platform) -> Platform:
    """All models are built of the first day."""
    assert loaded.build(loaded.tick())
    return loaded


def test_models_wait_until_what_they_read_has_data(platform: Platform) -> None:
    assert platform.tick() == set()
    platform.load(WATER, FIRST)
    assert platform.tick() == {STAGED, MART}, "the city's mart reads parking too, which has none"


def test_one_tick_asks_for_all_that_follows_from_an_update(loaded: Platform) -> None:
    assert loaded.tick() == {STAGED, STAGED_PARKING, MART, CITY}


def test_what_was_asked_for_and_built_is_not_asked_for_again(loaded: Platform) -> None:
    assert loaded.build(loaded.tick())
    assert loaded.tick() == set()
    assert loaded.tick() == set()


def test_an_update_of_one_table_builds_only_what_follows_from_it(built: Platform) -> None:
    built.load(PARKING, SECOND)
    assert built.tick() == {STAGED_PARKING, CITY}


def test_several_loads_between_ticks_are_one_wave(built: Platform) -> None:
    built.load(WATER, FIRST)
    built.load(WATER, SECOND)
    assert built.tick() == {STAGED, MART, CITY}


def test_a_table_that_breaks_its_contract_holds_its_models_back_until_it_is_mended(platform: Platform) -> None:
    platform.load(PARKING, FIRST)
    platform.tick()
    platform.broken.add("contract")
    platform.load(WATER, FIRST)
    assert platform.tick() == set()
    assert platform.tick() == set()
    platform.broken.clear()
    platform.load(WATER, FIRST)
    assert platform.tick() >= {STAGED, MART}


def test_a_run_that_fails_is_not_repeated_on_every_tick_but_at_the_next_update(loaded: Platform) -> None:
    loaded.broken.add("city")
    asked = loaded.tick()
    assert not loaded.build(asked)
    assert loaded.tick() == set()
    loaded.broken.clear()
    loaded.load(WATER, SECOND)
    assert loaded.tick() == {STAGED, MART, CITY}


def test_a_run_that_fails_before_anything_was_built_is_asked_for_again_in_full(built: Platform) -> None:
    built.load(WATER, SECOND)
    built.tick()  # and the run that it asks for never starts
    assert built.tick() == set()
    built.load(WATER, SECOND)
    assert built.tick() == {STAGED, MART, CITY}


def test_a_failed_test_of_a_model_holds_back_what_other_tables_would_build_on_it(built: Platform) -> None:
    built.broken.add("unique")
    built.load(WATER, SECOND)
    assert not built.build(built.tick())
    built.load(PARKING, SECOND)
    assert built.tick() == {STAGED_PARKING, CITY}, "the city's mart doesn't read the model itself"
    built.broken.clear()
    built.load(WATER, SECOND)
    assert built.tick() >= {STAGED, MART}


def test_an_update_while_the_models_are_being_built_is_remembered(loaded: Platform) -> None:
    asked = loaded.tick()
    loaded.load(WATER, SECOND)  # after the wave was asked for, before it is built
    while_building = loaded.tick()
    loaded.build(asked)
    assert while_building | loaded.tick() >= {STAGED, MART, CITY}


def test_an_interrupted_build_does_not_keep_other_models_from_following_their_tables(built: Platform) -> None:
    built.broken.add("ctrl-c before marts")
    assert not built.build({MART, CITY})
    built.broken.clear()
    built.load(PARKING, SECOND)
    assert built.tick() == {STAGED_PARKING, CITY}


def test_an_interrupted_build_does_not_hide_that_a_table_had_failed_its_test(built: Platform) -> None:
    built.broken.add("complete")
    built.build({MART})
    built.broken.add("ctrl-c before marts")
    built.build({MART, CITY})
    built.broken.clear()
    built.load(PARKING, SECOND)
    assert built.tick() == {STAGED_PARKING}


def test_a_model_that_was_built_and_not_tested_is_built_again_so_that_others_need_not_wait(built: Platform) -> None:
    built.load(WATER, SECOND)
    built.broken.add("ctrl-c after staging")
    assert not built.build(built.tick())
    built.load(PARKING, SECOND)
    assert built.tick() == {STAGED_PARKING, CITY}
    again = timedelta(minutes=10)
    assert built.tick(again) == {STAGED, MART, CITY}, "with what it holds back"
    assert not built.build({STAGED, MART, CITY}), "it is interrupted once more"
    assert built.tick(again) == set(), "not on every tick"
    built.broken.clear()
    assert built.build(built.tick(2 * again))
    assert built.tick(3 * again) == set()


def test_a_late_source_holds_back_only_what_needs_it_and_that_follows_when_it_comes(platform: Platform) -> None:
    platform.load(WATER, FIRST)
    asked = platform.tick()
    assert (asked, platform.publications) == ({STAGED, MART}, {WATER_PUBLISHED})
    assert platform.build(asked | platform.publications)
    assert (platform.tick(), platform.publications) == (set(), set())
    platform.load(PARKING, FIRST)
    asked = platform.tick()
    assert (asked, platform.publications) == ({STAGED_PARKING, CITY}, {CITY_PUBLISHED})
    assert platform.build(asked | platform.publications)
    assert (platform.tick(), platform.publications) == (set(), set())


def test_a_mart_that_fails_its_test_is_not_published_and_the_others_are(built: Platform) -> None:
    built.build({WATER_PUBLISHED, CITY_PUBLISHED})
    built.tick()
    built.broken.add("complete")
    built.load(WATER, SECOND)
    built.build(built.tick() - {CITY})
    built.load(PARKING, SECOND)
    built.tick()
    assert built.publications == set(), "the city's mart reads the one that failed"
    built.broken.clear()
    built.load(WATER, SECOND)
    asked = built.tick()
    assert built.publications == {WATER_PUBLISHED, CITY_PUBLISHED}
    assert built.build(asked | built.publications)
