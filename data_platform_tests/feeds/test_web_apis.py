"""What a feed of a web API may declare."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from data_platform_tests.extract.web.tables import COLUMNS, GRANTS, airtable_feed, knack_feed


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"load_mode": "append"}, "load_mode append: expected replace or history"),
        ({"load_mode": "merge"}, "load_mode merge: expected replace or history"),
        ({"partition": {"start": "2026-01-01"}}, "has no partition"),
        ({"drift": "evolve"}, "by the ids of their fields; expected reject or ignore"),
        ({"columns": {**COLUMNS, "more": {"type": "string"}}}, "column more: source_name must be the id of its field"),
        ({"columns": {**COLUMNS, "more": {"type": "string", "source_name": "Budget"}}}, "found 'Budget'"),
        ({"base": "Meridian"}, "base"),
        ({"from": "Programmes"}, "from"),
        ({"nonsense": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_an_airtable_feed_may_not_declare(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        airtable_feed(**given)


def test_a_record_of_airtable_has_an_id_and_a_time() -> None:
    created = {"type": "timestamp", "source_name": "createdTime"}
    assert airtable_feed({**COLUMNS, "created_at": created}).kind == "airtable"
    with pytest.raises(ValidationError, match="or one of the record's own, id; found 'createdTime'"):
        knack_feed({**GRANTS, "created_at": {**created, "time_zone": "UTC"}})


def test_knacks_times_need_a_zone() -> None:
    with pytest.raises(ValidationError, match="column opened needs a time_zone: Knack's times"):
        knack_feed({**GRANTS, "opened": {"type": "timestamp", "source_name": "field_2"}})


def test_history_and_a_limit_of_rejects_may_be_declared() -> None:
    assert airtable_feed(load_mode="history").load_mode == "history"
    assert airtable_feed().too_many_rejects(9, 10) is None
    assert airtable_feed(reject_limit={"rows": 1}).too_many_rejects(2, 100) is not None
