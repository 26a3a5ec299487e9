"""How numbers, sizes and times are written, and what the options' words mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import dagster as dg
import pytest

from data_platform.cli.deliveries.command import since
from data_platform.cli.deliveries.pending import _described
from data_platform.cli.errors import explained
from data_platform.cli.output import duration, local_time, size
from data_platform.cli.run.accounting import FileAccount, TableAccount
from data_platform.cli.run.location import in_full
from data_platform.cli.run.selection import selected
from data_platform.environment import Settings, SettingsError, settings
from data_platform.landing.bucket import Pending
from data_platform.landing.sorting import Scan, Waiting
from data_platform.local_cloud.demo.day import DemoRefused, scale_of
from data_platform_tests.landing.test_inbox import Objects, feed, look

NOW = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (4_100, "4.1 kB"), (12_900_000, "12.9 MB"), (5 * 10**12, "5,000.0 GB")],
)
def test_sizes_are_written_as_people_say_them(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.82, "0.8 s"), (42, "42 s"), (200, "3 min 20 s")])
def test_durations_too(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_the_citys_and_name_their_offset() -> None:
    zone = Settings.from_environment({}).zone
    assert local_time(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), zone) == "2026-11-01 01:30:00 EDT"
    assert local_time(NOW, zone) == "2026-11-01 01:30:00 EST"


def test_since_takes_spans_days_and_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    assert since("36h", NOW) == NOW - timedelta(hours=36)
    assert since("2w", NOW) == NOW - timedelta(days=14)
    assert since("2026-03-08") == datetime(2026, 3, 8, 5, tzinfo=UTC), "midnight in the city"
    assert since("2026-03-08T06:00Z") == datetime(2026, 3, 8, 6, tzinfo=UTC)
    assert since(None) is None
    with pytest.raises(click.BadParameter, match="expected 36h"):
        since("yesterday")


def test_a_size_is_a_name_or_a_number_of_meters() -> None:
    assert scale_of("small").meters == 150
    assert scale_of("3000").sessions_a_day == 4000
    for wrong in ("tiny", "12"):
        with pytest.raises(DemoRefused, match="number of meters, at least 150"):
            scale_of(wrong)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("raw/harbor_water/*", 'key:"raw/harbor_water/*"'),
        ("+marts/city_daily", '+key:"marts/city_daily"'),
        ("2+raw/clear_air/stations+", '2+key:"raw/clear_air/stations"+'),
        ("raw/c0*/* or (raw/x and not kind:dbt)", 'key:"raw/c0*/*" or (key:"raw/x" and not kind:dbt)'),
        *((as_it_is, as_it_is) for as_it_is in ("*", "group:clear_air", 'key:"raw/a/*"+ or group:"a/b"', "key:raw/a")),
    ],
)
def test_a_bare_key_may_be_selected(text: str, full: str) -> None:
    assert in_full(text) == full


def test_a_selection_that_is_none_is_told_with_examples() -> None:
    class Location:
        select = staticmethod(lambda selection: dg.AssetSelection.from_string(in_full(selection)))

    with pytest.raises(click.BadParameter, match="'raw/x or' isn't a selection; expected terms such as 'raw/harbor"):
        selected(Location(), "raw/x or")  # type: ignore[arg-type]


COUNTS = {"landed": 5, "loaded": 2, "duplicate": 1, "superseded": 1, "quarantined": 1}
ROWS = {"rows_read": 10, "rows_loaded": 9, "rejects": 1}


def test_an_account_that_adds_up_has_no_problem() -> None:
    assert FileAccount("a/b", COUNTS | ROWS, 9, whole=True).problems == []


def test_a_lost_file_and_a_lost_row_are_told() -> None:
    lost = FileAccount("a/b", COUNTS | ROWS | {"landed": 6, "rows_loaded": 8}, 8, whole=True)
    assert lost.problems == [
        "a/b: 6 files landed, 5 have an outcome",
        "a/b: 10 rows read, 8 loaded and 1 rejected",
    ]


@pytest.mark.parametrize(
    ("whole", "in_table", "adds_up"), [(True, 9, True), (True, 8, False), (False, 8, True), (False, 0, False)]
)
def test_a_table_that_is_read_whole_has_every_row_and_of_changes_the_last(
    whole: bool, in_table: int, adds_up: bool
) -> None:
    account = TableAccount("a/b", {"rows_loaded": 9}, in_table, whole=whole)
    assert account.problems == (
        []
        if adds_up
        else [
            f"a/b: the ledger expects 9 rows, and the table has {in_table}."
            " `data-platform run --reload --select raw/a/b` loads them again, from the lake"
            + ("" if whole else ". If they differ then, `data-platform feed re-extract a/b` rebuilds the table")
        ]
    )


def test_a_table_has_no_row_that_was_not_loaded() -> None:
    (problem,) = TableAccount("a/b", {"rows_loaded": 9}, 10, whole=False).problems
    assert problem.endswith("`data-platform feed re-extract a/b` rebuilds the table")


def test_differences_name_what_was_expected() -> None:
    account = FileAccount("a/b", COUNTS | ROWS, 9, whole=True)
    assert account.differences(COUNTS | ROWS, 9) == []
    assert account.differences(COUNTS | ROWS | {"landed": 1_200}, 7) == [
        "landed 5, expected 1,200",
        "table has 9 rows, expected 7",
    ]


def test_a_waiting_file_says_how_long() -> None:
    from data_platform.automation.landing_sensor import History

    pending = Pending("inbound/a/x.csv", '"e"', 3, NOW)
    left = Scan(waiting=[Waiting(pending, "its size must be stable for 10 s", NOW + timedelta(seconds=7))])
    (file,) = _described(left, History(), NOW)
    assert (file.state, file.why) == ("waiting", "its size must be stable for 10 s; ready in 7 s")


def test_a_file_beyond_its_partners_quota_is_shown_as_waiting() -> None:
    from data_platform.automation.landing_history import History

    objects = Objects({f"inbound/p/f_2026030{day}.csv": 99 for day in range(1, 6)})
    found = look(objects, feed(quota={"files": 3}))
    states = {file.key[-5]: (file.state, file.why) for file in _described(found, History(), NOW)}
    waits = ("waiting", "more than 3 files are pending: it waits until some before it are settled")
    assert [states[day][0] for day in "123"] == ["ready"] * 3
    assert [states[day] for day in "45"] == [waits] * 2


def test_a_file_that_is_retried_later_says_when_and_why() -> None:
    from data_platform.automation.landing_history import BACK_OFF, History

    found = look(Objects({"inbound/p/f_20260301.csv": 99}), feed())
    token = found.ready[0].pending.token
    history = History(last_failure={token: NOW}, last_failed_run={token: "r1"})
    history.failed[token] = 1
    zone = ZoneInfo("America/New_York")

    def described(now: datetime) -> tuple[str, str]:
        (file,) = _described(found, history, now, zone, {"r1": "raw: the warehouse\nis away"}.__getitem__)
        return file.state, file.why

    assert described(NOW) == ("backing off", "Retrying at 01:30; last error: raw: the warehouse is away")
    assert described(NOW + BACK_OFF) == ("ready", "the next tick retries it; last error: raw: the warehouse is away")


def test_errors_of_the_platform_are_said_as_they_are_and_others_by_their_class() -> None:
    assert explained(SettingsError("SFTP_HOST is missing")).message == "SFTP_HOST is missing"
    assert explained(ValueError("odd")).message.startswith("ValueError: odd\n`data-platform doctor`")
