"""A local file against its contract: what would become of it, and which contract it would need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.trial import Trial, try_file

COLUMNS = [
    {"name": "id", "type": "string", "nullable": False},
    {"name": "n", "type": "int32"},
    {"name": "at", "type": "date"},
]


def tried(tmp_path: Path, text: str, columns: list[dict[str, Any]] = COLUMNS, **more: Any) -> Trial:
    file = tmp_path / "f.csv"
    file.write_text(text)
    return try_file(
        file,
        FileFeedSpec.of({"source": "p", "table": "f", "pattern": ".*", "contract": {"columns": columns}, **more}),
    )


def lines(trial: Trial) -> list[str]:
    return [column.yaml for column in trial.found]


def test_a_file_that_fits_needs_no_other_contract(tmp_path: Path) -> None:
    trial = tried(tmp_path, "id,n,at\na,1,2026-03-08\nb,2,\n")
    assert (trial.rows_read, trial.rows_rejected, trial.refused, trial.rejects) == (2, 0, None, [])
    assert [column.fits for column in trial.found] == ["string", "int32", "date"]
    assert trial.missing == []


def test_rejects_are_shown_and_the_type_that_would_fit(tmp_path: Path) -> None:
    trial = tried(tmp_path, "id,n,at\na,1.25,2026-03-08\nb,20,2026-03-09\n", reject_limit={"share": 1})
    assert (trial.rows_read, trial.rows_rejected, trial.refused) == (2, 1, None)
    assert trial.rejects[0]["reason"] == "n: '1.25' is not a whole number"
    assert lines(trial)[1] == '- {name: n, type: "decimal(4,2)", nullable: false}'


def test_past_the_limit_it_would_be_quarantined(tmp_path: Path) -> None:
    trial = tried(tmp_path, "id,n,at\na,x,2026-03-08\n")
    assert trial.refused == "1 of 1 rows break the contract; the feed allows a share of 0.05"


def test_a_renamed_column_and_a_new_one_are_found(tmp_path: Path) -> None:
    trial = tried(tmp_path, "id,Pump No.,at,ok\na,1,2026-03-08,true\nb,3000000000,,\n")
    assert trial.refused is not None
    assert "the file has no column 'n'" in trial.refused
    assert trial.missing == ["n"]
    assert lines(trial)[2:] == [
        "- {name: pump_no, source_name: Pump No., type: int64, nullable: false}",
        "- {name: ok, type: boolean}",
    ]


def test_bytes_that_are_no_such_file_have_no_columns(tmp_path: Path) -> None:
    trial = tried(tmp_path, "PK\x03\x04[Content_Types].xml")
    assert trial.refused is not None
    assert trial.found == []


def test_a_column_keeps_how_its_contract_spells_values(tmp_path: Path) -> None:
    columns = [
        {"name": "id", "type": "string"},
        {"name": "cost", "type": "decimal(4,1)", "decimal_mark": ",", "null_words": ["-"]},
    ]
    trial = tried(tmp_path, 'id,cost\na,"12,25"\nb,-\n', columns, reject_limit={"share": 1})
    assert trial.rows_rejected == 1
    assert lines(trial)[1] == '- {name: cost, type: "decimal(4,2)"}'
