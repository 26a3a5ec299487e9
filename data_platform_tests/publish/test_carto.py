"""A dataset is published to CARTO whole or not at all, whatever fails, and what depends on it survives."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import httpx
import psycopg2
import pytest
import shapely

from data_platform.local_cloud.web.faults import Fault
from data_platform.publish.target import PublicationFailed
from data_platform_tests.publish.conftest import KEY, Account, stamp, trees

ALL = {"trees", "trees__previous"}


def test_a_dataset_is_published_with_its_values_indexes_and_grants(account: Account) -> None:
    rows = account.rows(100)
    with account.target() as target:
        assert target.current() is None
        target.put(rows, stamp(rows))
        now = target.current()
    assert now is not None and now.stamp == stamp(rows) and now.rows == 100
    assert account.published("SELECT id, name, cost::text FROM trees ORDER BY cartodb_id LIMIT 2") == [
        (0, None, "0.50"),
        (1, 'Oak "1"\t\\ é', "1.50"),
    ]
    assert (
        account.published("SELECT upper(min(the_geom::text)), ST_SRID(min(the_geom::text)::geometry) FROM trees")[0][1]
        == 4326
    )
    indexed = account.published(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]"
        " WHERE indrelid = 'trees'::regclass"
    )
    assert {"cartodb_id", "name"} <= {name for (name,) in indexed}
    public = httpx.get(f"{account.url.replace(f'account:{KEY}@', '')}/api/v2/sql", params={"q": "SELECT id FROM trees"})
    assert public.status_code == 200 and public.json()["total_rows"] == 100
    assert account.tables() == {"trees"}


def test_a_view_reads_the_new_version_and_the_old_one_can_come_back(account: Account) -> None:
    first, second = account.rows(10, name="Ash"), account.rows(12, name="Elm")
    with account.target() as target:
        target.put(first, stamp(first))
        account.database.run(
            "SET ROLE carto_account",
            "CREATE VIEW names WITH (security_barrier=true) AS SELECT name, the_geom FROM trees WHERE id > 0",
            "CREATE VIEW best AS SELECT max(name) AS name, count(*) AS number FROM names",
            "GRANT SELECT ON names TO publicuser",
        )
        target.put(second, stamp(second))
        assert account.published("SELECT name, number FROM best") == [('Elm "9"\t\\ é', 11)]
        assert account.published("SELECT reloptions FROM pg_class WHERE relname = 'names'") == [
            (["security_barrier=true"],)
        ]
        assert account.published("SELECT has_table_privilege('publicuser', 'names', 'SELECT')") == [(True,)]
        assert account.published("SELECT has_table_privilege('publicuser', 'trees__previous', 'SELECT')") == [(False,)]
        back, gone = target.roll_back("run2")
        assert (back.version, back.withdrawn) == (stamp(first).version, second.fingerprint) and gone == stamp(second)
        assert account.published("SELECT name, number FROM best") == [('Ash "9"\t\\ é', 9)]
        assert account.published() == [(10, 'Ash "9"\t\\ é')]
        again = target.roll_back("run3")[0]
        assert account.published() == [(12, 'Elm "9"\t\\ é')] and again.withdrawn == first.fingerprint
    assert account.tables() == ALL


@pytest.mark.parametrize(
    ("dependent", "said"),
    [
        ("CREATE MATERIALIZED VIEW m AS SELECT name FROM trees", "materialized view public.m reads trees"),
        ("CREATE TABLE f (t bigint REFERENCES trees (cartodb_id))", "foreign key f_t_fkey of f refers to trees"),
        ("CREATE VIEW v AS SELECT gone FROM trees", 'column "gone" does not exist'),
    ],
)
def test_a_dependent_that_would_be_left_behind_stops_the_swap(embedded: Account, dependent: str, said: str) -> None:
    first, second = embedded.rows(5), embedded.rows(6)
    with embedded.target() as target:
        target.put(first, stamp(first))
        if "gone" in dependent:
            embedded.database.run("ALTER TABLE trees ADD gone text")
        embedded.database.run("SET ROLE carto_account", dependent)
        with pytest.raises(PublicationFailed, match=said):
            target.put(second, stamp(second))
    assert embedded.published("SELECT count(*) FROM trees") == [(5,)]
    assert "trees__stage" not in embedded.tables()


REQUESTS = 5
"""Create, copy, index, gates, swap."""


def test_a_publication_takes_five_requests(embedded: Account) -> None:
    rows = embedded.rows(3)
    with embedded.target() as target:
        target.put(rows, stamp(rows))
    assert len(embedded.web.requests["carto"]) == REQUESTS


@pytest.mark.parametrize("place", range(REQUESTS))
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=400, body='{"error": ["broken"]}'),
        Fault(status=503, times=6),
        Fault(status=429, headers={"Retry-After": "2"}),
        Fault(cut=True),
        Fault(cut=True, times=2),
    ],
    ids=["refused", "down", "limit", "cut", "cut twice"],
)
def test_whatever_request_fails_one_whole_version_is_published(embedded: Account, place: int, fault: Fault) -> None:
    old, new = embedded.rows(4, name="Ash"), embedded.rows(7, name="Elm")
    with embedded.target() as target:
        target.put(old, stamp(old))
        embedded.clock.sleep(120)
        embedded.web.faults["carto"].set([Fault(**{**asdict(fault), "after": place})])
        try:
            target.put(new, stamp(new))
        except PublicationFailed as error:
            assert "carto/trees" in str(error) and KEY not in str(error)
            assert embedded.published() == [(4, 'Ash "3"\t\\ é')]
        else:
            assert embedded.published() == [(7, 'Elm "6"\t\\ é')]
        embedded.web.faults["carto"].set([])
        now = target.current()
        if now is None or now.stamp != stamp(new):
            target.put(new, stamp(new))
    assert embedded.published() == [(7, 'Elm "6"\t\\ é')]
    assert embedded.tables() == ALL


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", range(REQUESTS))
def test_killed_between_any_two_requests_the_next_run_publishes_once(
    embedded: Account, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = embedded.rows(4, name="Ash"), embedded.rows(7, name="Elm")
    with embedded.target() as target:
        target.put(old, stamp(old))
    post, sent = httpx.Client.post, iter(range(REQUESTS))

    def killed_before(*given: Any, **named: Any) -> httpx.Response:
        if next(sent) == place:
            raise Killed
        return post(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(httpx.Client, "post", killed_before)
        with pytest.raises(Killed), embedded.target() as target:
            target.put(new, stamp(new))
    assert embedded.published() == [(4, 'Ash "3"\t\\ é')]
    with embedded.target() as target:
        now = target.current()
        assert now is not None and now.stamp == stamp(old)
        assert "trees__stage" not in embedded.tables()
        target.put(new, stamp(new))
    assert embedded.published() == [(7, 'Elm "6"\t\\ é')]
    assert embedded.tables() == ALL


def test_a_table_of_another_tool_is_taken_over_and_kept(embedded: Account) -> None:
    rows = embedded.rows(3)
    with embedded.target() as target:
        assert target.current() is None  # the account is made by its first request
        embedded.database.run("SET ROLE carto_account", "CREATE TABLE trees AS SELECT 1 AS id, 'Fir' AS name")
        now = target.current()
        assert now is not None and (now.stamp, now.rows) == (None, 1)
        target.put(rows, stamp(rows))
        assert embedded.published("SELECT name FROM trees__previous") == [("Fir",)]
        with pytest.raises(PublicationFailed, match="no version before that this platform"):
            target.roll_back("run")


def test_shapes_that_are_not_valid_are_told_by_both_kinds_of_database(account: Account) -> None:
    with account.client() as client:
        client.rows("CREATE TABLE shapes (the_geom geometry); SELECT CDB_CartodbfyTable('shapes'::regclass)", "test")
        crossed = shapely.set_srid(shapely.Polygon([(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]), 4326)
        bow_tie = shapely.to_wkb(crossed, hex=True, include_srid=True)
        client.copy('COPY "shapes" (the_geom) FROM STDIN', lambda: [f"{bow_tie}\n\\N\n".encode()], "test")
        (found,) = client.rows("SELECT bool_and(ST_IsValid(the_geom)) AS valid FROM shapes", "test")
        assert found == {"valid": False}
        for wrong in ("0101000020110F0000000000000000F03F0000000000000040", "not a shape"):
            with pytest.raises(PublicationFailed, match="answered 400"):
                client.copy('COPY "shapes" (the_geom) FROM STDIN', lambda wrong=wrong: [f"{wrong}\n".encode()], "test")
            account.clock.sleep(60)
        with pytest.raises(PublicationFailed, match=r"403.*permission denied"):
            client.rows("SELECT * FROM pg_authid", "test")
    assert account.published("SELECT count(*) FROM shapes") == [(2,)]


def test_limits_are_obeyed_and_a_key_is_needed(embedded: Account) -> None:
    with embedded.client() as client:
        for _ in range(40):
            client.rows("SELECT 1", "test")
    assert embedded.clock() > 40 / 15 - 2
    api = f"http://127.0.0.1:{embedded.web.port}/carto/api/v2/sql"
    answers = [httpx.post(f"{api}/copyfrom", params={"q": "SELECT 1", "api_key": KEY}) for _ in range(4)]
    assert [each.status_code for each in answers] == [400, 400, 400, 429]
    assert answers[-1].headers["Retry-After"] == "20" and answers[0].headers["Retry-After"] == "-1"
    assert httpx.post(api, data={"q": "SELECT 1", "api_key": "wrong"}).json() == {"error": ["Unauthorized"]}
    assert httpx.post(api, data={"q": "SELECT x", "api_key": KEY}).json()["error"] == ['column "x" does not exist']
    assert httpx.post(api, data={"q": "DROP TABLE x"}).status_code == 400
    with embedded.client() as client, pytest.raises(PublicationFailed, match="1 MB"):
        client.rows(f"SELECT '{'x' * 1_000_000}'", "test")


def test_a_role_that_does_not_exist_stops_the_swap(embedded: Account) -> None:
    rows = embedded.rows(3)
    refused = pytest.raises(PublicationFailed, match='role "nobody_knows" does not exist')
    with embedded.target(trees(select_users=("nobody_knows",))) as target, refused:
        target.put(rows, stamp(rows))
    with pytest.raises(psycopg2.errors.UndefinedTable):
        embedded.published()
