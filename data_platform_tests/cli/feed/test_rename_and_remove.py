"""Feeds and partners are renamed and removed with all that belongs to them, also if the command is killed between any
two steps."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pyarrow as pa
import pytest

from data_platform.cli.change import Step, carry_out
from data_platform.cli.feed.place import Place
from data_platform.cli.feed.remove import removal_of_feed
from data_platform.cli.feed.remove_partner import removal_of_partner
from data_platform.cli.feed.rename import renaming
from data_platform.environment import Settings, settings
from data_platform.extract.ingest import Ingestion
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.landing.client import transfer_client
from data_platform.landing.history import list_deliveries
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.partners import home_directory_mappings, servers_of
from data_platform.landing.settle import settled_key
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Requested
from data_platform.transform.sources import sources_file, write_sources
from data_platform.warehouse.connection import connect
from data_platform.warehouse.ledger import last_position
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.platform import ensure_platform
from data_platform.warehouse.retired import FeedRetired, revive
from data_platform.warehouse.schema import apply_schema, plan_schema
from data_platform_tests.end_to_end.platform import ROOT
from data_platform_tests.end_to_end.project import blocks
from data_platform_tests.landing.folder_bucket import FolderBucket
from data_platform_tests.warehouse.in_process import InProcess, in_process

PARTNER = """\
type: data_platform.components.SftpPartner
attributes: {description: Cranes, time_zone: UTC, owners: ["team:harbour"]}
"""
FEED = """\
type: data_platform.components.FileFeed
attributes:
  description: A lift.
  pattern: '%s_.*\\.csv'
  readiness: {manifest: "{name}.json"}
  reject_limit: {share: 0.5}
  contract: {columns: [{name: id, type: string, nullable: false}, {name: n, type: int32}]}
"""
DATABASE = """\
type: data_platform.components.SqlTables
attributes:
  description: A register.
  time_zone: UTC
  owners: ["team:records"]
  connection: city
  tables:
    - table: permits
      description: Permits.
      load_mode: merge
      watermark: {column: id}
      contract: {key: [id], columns: [{name: id, type: int64, nullable: false}]}
    - table: fees
      description: Fees.
      contract: {columns: [{name: id, type: int64}]}
"""


@dataclass
class Project:
    """A checkout of a test's own, with a partner or database of its own, and the shared cloud."""

    place: Place
    source: str

    def deliver(self, table: str, name: str, *rows: str, feed: FeedSpec | None = None) -> None:
        """Drops a file with its manifest, loads and settles it. `feed`: as earlier code declared it."""
        place, key = self.place, f"inbound/{self.source}/{name}"
        self.drop(name, *rows)
        feed = feed or place.feeds()[f"{self.source}/{table}"]
        assert isinstance(feed, FileFeedSpec)
        source = DeliverySource(
            feed,
            [Requested(key, companion=f"{key}.json")],
            bucket=place.bucket,
            lake=place.lake,
            database=place.database,
            run_id="run",
        )
        ingestion = Ingestion(source, lake=place.lake, connect=place.session, database=place.database, run_id="run")
        ingestion.settle(ingestion.run())
        with place.dagster() as instance:
            assert instance is not None
            for layer in ("lake", "raw"):
                instance.report_runless_asset_event(dg.AssetMaterialization([layer, self.source, table]))

    def drop(self, name: str, *rows: str) -> None:
        key = f"inbound/{self.source}/{name}"
        self.place.bucket.put(key, "\n".join(("id,n", *rows)).encode())
        self.place.bucket.put(f"{key}.json", json.dumps({"rows": len(rows)}).encode())

    def read(self, table: str, *extracts: range) -> None:
        """Loads extracts of a table of a database."""
        place = self.place
        feed = place.feeds()[f"{self.source}/{table}"]
        manifests = []
        for numbers in extracts:
            key = ExtractKey(self.source, table, uuid.uuid4().hex)
            rows = pa.record_batch({"id": pa.array(numbers, pa.int64())})
            manifests.append(
                place.lake.write_extract(key, rows.schema, [rows], contract_hash="1f", position_to=numbers.stop)
            )
        with place.session() as connection:
            apply_schema(connection, plan_schema(connection, place.table(self.source, table), feed.table_columns))
            load_extracts(connection, place.database, feed, manifests, lake=place.lake, run_id="run")

    def rows(self, table: str) -> dict[Any, Any]:
        """{id: n or None} of a table."""
        with self.place.session() as connection:
            found = connection.cursor().execute(f"SELECT * FROM {self.place.table(self.source, table).sql}").fetchall()
        return {row[0]: row[1] for row in found}

    def deliveries(self) -> list[DeliveryRow]:
        with self.place.session() as connection:
            return list_deliveries(connection, self.place.database, partner=self.source)

    def tables(self) -> set[str]:
        """The tables of the source's schema."""
        schema = f"{self.place.database}.RAW_{self.source}".upper()
        try:
            with self.place.session() as connection:
                found = connection.cursor().execute(f"SHOW OBJECTS IN SCHEMA {schema}").fetchall()
        except Exception as error:
            assert "does not exist" in str(error)
            return {"no schema"}
        return {str(row[1]) for row in found}

    def objects(self, prefix: str) -> list[str]:
        return [each.key for page in self.place.bucket.pages(prefix=prefix) for each in page]

    def assets(self) -> set[str]:
        """The assets of the source that Dagster knows."""
        with self.place.dagster() as instance:
            assert instance is not None
            return {key.to_user_string() for key in instance.all_asset_keys() if self.source in key.path}


Plan = Callable[[], tuple[list[Step], list[str]]]


def carried_out_and_killed_after_each_step(plan: Plan) -> list[str]:
    """Begins anew after each step, as after a kill, until nothing is left to do. Returns the names of the steps."""
    done: list[str] = []

    def planned() -> list[Step]:
        try:
            return [step for step in plan()[0] if step.lines]
        except click.UsageError as nothing_left:
            assert "unknown" in str(nothing_left)
            return []

    while due := planned():
        for step in due:
            step.apply()
            if step.name not in done:
                break
        assert step.name not in done, f"{step.name} is planned again, after {done}"
        done.append(step.name)
    return done


class HermeticPlace(Place):
    """A place whose Snowflake is an engine in this process, and whose buckets are folders."""

    @contextmanager
    def session(self) -> Iterator[Any]:
        with InProcess(ENGINE["instance"]) as connection:
            yield connection


ENGINE: dict[str, Any] = {}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with in_process(tmp_path_factory.mktemp("engine")) as (connection, lake):
        ENGINE["instance"] = connection.instance
        yield lake


@pytest.fixture
def project(engine: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster/dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    given = settings().model_copy(update={"dagster_home": tmp_path / "dagster", "state_dir": tmp_path / "state"})
    place = HermeticPlace(given, tmp_path / "defs", tmp_path / "dbt")
    place.__dict__.update(bucket=FolderBucket(tmp_path / "landing"), lake=engine)
    return made_in(place)


def made_in(place: Place) -> Project:
    """A partner with two feeds, the dbt sources, and a model that reads one of them."""
    source = f"p{uuid.uuid4().hex[:10]}"
    partner = place.defs / "sources/partners" / source
    for feed in ("lifts", "calls"):
        (partner / feed).mkdir(parents=True)
        (partner / feed / "defs.yaml").write_text(FEED % feed)
    (partner / "defs.yaml").write_text(PARTNER)
    write_sources(place.dbt_project, place.sources())
    model = place.dbt_project / "models/staging" / source / "stg.sql"
    model.write_text(f"select *\nfrom {{{{ source('{source}', 'lifts') }}}}\n")
    return Project(place, source)


@pytest.fixture
def in_the_cloud(local_cloud: Mapping[str, str], project: Project) -> Project:
    """The same in the local cloud, with its AWS Transfer."""
    place = project.place
    given = Settings.from_environment({**local_cloud, "DAGSTER_HOME": str(place.settings.dagster_home)})
    with connect(given) as connection:
        ensure_platform(connection, given.snowflake.database, given.lake_bucket, migrations=MIGRATIONS)
    return made_in(Place(given, place.defs.parent / "cloud", place.dbt_project.parent / "cloud_dbt"))


@pytest.fixture
def database(project: Project) -> Project:
    """The same with a database."""
    source = f"d{project.source[1:]}"
    folder = project.place.defs / "sources/databases" / source
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(DATABASE)
    made = replace(project, source=source)
    write_sources(made.place.dbt_project, made.place.sources())
    return made


def test_a_renamed_feed_keeps_its_rows_accounts_and_files_and_goes_on(project: Project) -> None:
    project.deliver("lifts", "lifts_1.csv", "a,1", "b,x", "c,3")
    project.deliver("lifts", "lifts_2.csv", "d,4")
    project.drop("lifts_3.csv", "e,5")
    place, source = project.place, project.source
    before = place.feeds()[f"{source}/lifts"]
    _, notes = renaming(place, f"{source}/lifts", "hoists")
    assert [note for note in notes if "stg.sql:2 reads source" in note]
    steps = carried_out_and_killed_after_each_step(lambda: renaming(place, f"{source}/lifts", "hoists"))
    assert steps[:4] == ["copy files", "ledger", "table", "delete the copied files"]
    assert steps[4:] == ["Dagster's history", "YAML", "dbt sources"]

    assert project.tables() == {"HOISTS"}
    assert project.rows("hoists") == {"a": 1, "c": 3, "d": 4}
    assert set(place.feeds()) == {f"{source}/hoists", f"{source}/calls"}
    assert {(row.feed, row.status) for row in project.deliveries()} == {("hoists", "loaded")}
    assert all(place.bucket.exists(settled_key(row)) for row in project.deliveries())
    assert len(project.objects(f"archive/{source}/hoists/")) == 4, "with the manifests"
    assert not project.objects(f"archive/{source}/lifts/")
    assert not list(place.lake.objects(f"extracts/{source}/lifts/"))
    assert project.assets() == {f"raw/{source}/hoists"}
    text = sources_file(place.dbt_project, source).read_text()
    assert "name: hoists" in text and "lifts" not in text

    with pytest.raises(FeedRetired, match=f"{source}/lifts was renamed to {source}/hoists, and this run's code"):
        project.deliver("lifts", "lifts_3.csv", "e,5", feed=before)
    assert project.tables() == {"HOISTS"} and not list(place.lake.objects(f"extracts/{source}/lifts/"))
    project.deliver("hoists", "lifts_3.csv", "e,5")
    project.deliver("hoists", "lifts_1.csv", "a,9")
    assert project.rows("hoists") == {"a": 9, "d": 4, "e": 5}, "the file that was loaded before is superseded"
    with place.session() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE SOURCE = '{source}' AND TABLE_NAME <> 'hoists'")
        assert cursor.fetchall() == [(0,)]


def test_a_removed_feed_leaves_nothing_but_what_the_plan_names_and_can_be_added_anew(project: Project) -> None:
    project.deliver("lifts", "lifts_1.csv", "a,1", "b,x")
    project.deliver("calls", "calls_1.csv", "z,1")
    project.drop("lifts_2.csv", "c,3")
    project.drop("calls_2.csv", "y,3")
    place, source = project.place, project.source
    steps, notes = removal_of_feed(place, f"{source}/lifts", delete_kept=False)
    told = "\n".join([*(line for step in steps for line in step.lines), *notes])
    for part in (
        "lifts_2.csv",
        f"RAW_{source}.LIFTS".upper(),
        "stg.sql:2",
        "defs.yaml",
        "kept until `retention` deletes them: extracts/",
        "lifts_1.csv",
    ):
        assert part in told
    carried_out_and_killed_after_each_step(lambda: removal_of_feed(place, f"{source}/lifts", delete_kept=False))

    assert project.tables() == {"CALLS"}
    assert set(place.feeds()) == {f"{source}/calls"}
    outcomes = {(row.file_name, row.status, row.reason) for row in project.deliveries() if row.feed == "lifts"}
    assert outcomes == {
        ("lifts_1.csv", "superseded", "its feed was removed"),
        ("lifts_2.csv", "quarantined", f"{source}/lifts was removed before the file was read"),
    }
    assert project.objects(f"inbound/{source}/") == [
        f"inbound/{source}/calls_2.csv",
        f"inbound/{source}/calls_2.csv.json",
    ]
    (quarantined,) = [row for row in project.deliveries() if row.status == "quarantined"]
    assert place.bucket.exists(settled_key(quarantined)) and place.bucket.exists(f"{settled_key(quarantined)}.json")
    assert any("lifts_2.csv" in key for key in project.objects(f"receipts/{source}/"))
    assert project.assets() == {f"{layer}/{source}/calls" for layer in ("lake", "raw")}
    assert "lifts" not in sources_file(place.dbt_project, source).read_text()
    with pytest.raises(click.UsageError, match="unknown feed"):
        removal_of_feed(place, f"{source}/lifts", delete_kept=False)

    folder = place.defs / "sources/partners" / source / "lifts"
    folder.mkdir()
    (folder / "defs.yaml").write_text(FEED % "lifts")
    with pytest.raises(FeedRetired, match=f"lifts was removed.* run `data-platform schema apply {source}/lifts`"):
        project.deliver("lifts", "lifts_1.csv", "a,1", "b,x")
    with place.session() as connection, connection.cursor() as cursor:
        revive(cursor, place.database, [(source, "lifts")])
    project.deliver("lifts", "lifts_1.csv", "a,1", "b,x")
    assert project.rows("lifts") == {"a": 1}, "no duplicate of the file whose rows went"


def test_a_removed_partner_can_sign_in_no_more_and_its_files_go_only_where_asked(in_the_cloud: Project) -> None:
    project = in_the_cloud
    project.deliver("lifts", "lifts_1.csv", "a,1")
    project.deliver("calls", "calls_1.csv", "z,1")
    project.drop("other.txt", "c,3")
    place, source = project.place, project.source
    transfer, bucket = transfer_client(place.settings), place.settings.landing_bucket
    (server,) = [each["ServerId"] for each in transfer.list_servers()["Servers"]]
    mappings: Any = home_directory_mappings(bucket, source)
    transfer.create_user(
        ServerId=server,
        UserName=source,
        Role="arn:aws:iam::000000000000:role/sftp-partner",
        HomeDirectoryType="LOGICAL",
        HomeDirectoryMappings=mappings,
    )
    steps = carried_out_and_killed_after_each_step(lambda: removal_of_partner(place, source, delete_kept=True))
    assert steps[0] == "SFTP user" and steps[-2:] == ["YAML", "dbt sources"]

    assert servers_of(transfer, bucket, source) == []
    assert project.tables() == {"no schema"}
    assert not (place.defs / "sources/partners" / source).exists()
    assert not sources_file(place.dbt_project, source).exists()
    assert project.assets() == set()
    assert not project.objects(f"inbound/{source}/") and not project.objects(f"archive/{source}/")
    assert not list(place.lake.objects(f"extracts/{source}/"))
    kept = project.objects(f"quarantine/{source}/")
    assert {key.rsplit("/", 1)[1] for key in kept} == {"other.txt", "other.txt.json"}, "of no feed, so never read"
    with pytest.raises(click.UsageError, match="unknown partner"):
        removal_of_partner(place, source, delete_kept=True)


def test_a_table_of_a_database_is_renamed_and_removed(database: Project) -> None:
    database.read("permits", range(3), range(3, 5))
    database.read("fees", range(1))
    place, source = database.place, database.source
    carried_out_and_killed_after_each_step(lambda: renaming(place, f"{source}/permits", "building_permits"))
    assert database.tables() == {"BUILDING_PERMITS", "FEES"}
    feed = place.feeds()[f"{source}/building_permits"]
    assert isinstance(feed, SqlTableSpec) and feed.relation == (None, "permits")
    with place.session() as connection, connection.cursor() as cursor:
        assert last_position(cursor, place.database, feed) == 5

    carried_out_and_killed_after_each_step(
        lambda: removal_of_feed(place, f"{source}/building_permits", delete_kept=False)
    )
    assert database.tables() == {"FEES"}
    assert set(place.feeds()) >= {f"{source}/fees"} and f"{source}/building_permits" not in place.feeds()
    with place.session() as connection, connection.cursor() as cursor:
        assert last_position(cursor, place.database, feed) is None, (
            "a table of that name would be read from its beginning"
        )

    carried_out_and_killed_after_each_step(lambda: removal_of_feed(place, f"{source}/fees", delete_kept=False))
    assert database.tables() == {"no schema"}
    assert not (place.defs / "sources/databases" / source).exists()


def test_nothing_is_planned_while_a_run_of_the_feed_is_under_way(project: Project) -> None:
    place, source = project.place, project.source
    with place.dagster() as instance:
        assert instance is not None

        def under_way(*assets: str) -> None:
            run = dg.DagsterRun(
                job_name="j",
                status=dg.DagsterRunStatus.STARTED,
                asset_selection={dg.AssetKey(each.split("/")) for each in assets} or None,
            )
            instance.add_run(run)
            try:
                renaming(place, f"{source}/lifts", "hoists")
            finally:
                instance.delete_run(run.run_id)

        under_way(f"raw/{source}/calls", f"lake/{source}/calls")
        for assets in ((f"lake/{source}/lifts",), ("marts/of_lifts",), ()):
            with pytest.raises(click.ClickException, match="are under way"):
                under_way(*assets)


@pytest.mark.parametrize(
    ("to", "why"),
    [("calls", "is a feed already"), ("Lifts!", "can't be a feed's name"), ("lifts", "is a feed already")],
)
def test_a_name_that_is_taken_or_none_is_refused(project: Project, to: str, why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        renaming(project.place, f"{project.source}/lifts", to)


def test_a_name_that_no_feed_has_is_no_feed_even_if_the_new_one_is(project: Project) -> None:
    """Only a renaming that was cut off after the YAML goes on without the old name."""
    project.drop("lifts_1.csv", "a,1")
    with pytest.raises(click.UsageError, match="unknown feed"):
        renaming(project.place, f"{project.source}/typo", "calls")


def test_a_schema_in_which_a_table_was_made_since_the_plan_stays(project: Project) -> None:
    project.deliver("lifts", "lifts_1.csv", "a,1")
    steps, _ = removal_of_feed(project.place, f"{project.source}/lifts", delete_kept=False)
    assert "schema" in [step.name for step in steps if step.lines]
    project.deliver("calls", "calls_1.csv", "b,2")
    for step in steps:
        step.apply()
    assert project.tables() == {"CALLS"}


def test_the_plans_are_as_the_page_shows_them(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/rename-and-remove.md, with this test's partner for the page's."""
    place, source = project.place, project.source
    monkeypatch.chdir(place.defs.parent)
    page = blocks(ROOT / "docs" / "rename-and-remove.md", "text")
    renamed, removed, _ = (
        text.replace("harbor_cranes", source).replace("HARBOR_CRANES", source.upper()) for text in page
    )
    model = place.dbt_project / "models/staging" / source / "stg.sql"
    model.rename(model.with_name(f"stg_{source}__lifts.sql"))
    project.deliver("lifts", "lifts_1.csv", "a,1", "b,2")

    def missing(shown: str) -> list[str]:
        said = capsys.readouterr().out
        return [line for line in shown.splitlines() if line not in said]

    carry_out(*renaming(place, f"{source}/lifts", "hoists"), yes=True)
    assert missing(renamed) == []
    project.drop("lifts_2.csv", "c,3")
    carry_out(*removal_of_feed(place, f"{source}/hoists", delete_kept=False), yes=True)
    assert missing(removed) == []
