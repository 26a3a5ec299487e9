"""A mistake in a `defs.yaml` gives file, line, column and caret, and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.components.defs_yaml import check_files
from data_platform.feeds.documents import DefinitionInvalid, Document
from data_platform.feeds.files import FileFeedDeclaration

GOOD = """\
type: data_platform.components.FileFeed
attributes:
  description: Readings.
  pattern: 'r_(?P<day>\\d{8})\\.csv'
  contract:
    columns:
      - {name: meter_id, type: string}
      - {name: litres, type: "decimal(12,3)"}
"""


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "defs.yaml"
    path.write_text(text)
    ((_, message),) = check_files([path])
    assert message is not None
    return message


def test_a_right_file_is_right(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text(GOOD)
    assert list(check_files([path])) == [(path, None)]
    assert Document.read(path).attributes(FileFeedDeclaration).description == "Readings."


@pytest.mark.parametrize(
    ("wrong", "line", "column", "says"),
    [
        (("pattern:", "patern:"), 4, 3, "did you mean 'pattern'"),
        (("type: string", "type: strin"), 7, 26, "'strin' is not a column type; expected one of: string, int8"),
        (("name: litres", "name: Litres"), 8, 10, "for example permit_id"),
        (("name: litres", "name: meter_id"), 5, 3, "column named twice: meter_id"),
        (("'r_(", "'r_(("), 4, 3, "not a regular expression"),
        (("  description: Readings.\n", ""), 2, 1, "'description' is missing"),
        (
            ("components.FileFeed", "components.FileFed"),
            1,
            1,
            "component data_platform.components.FileFed doesn't exist",
        ),
        (("data_platform.components.FileFeed", "pathlib.Path"), 1, 1, "is not a component"),
    ],
)
def test_a_mistake_has_its_place(tmp_path: Path, wrong: tuple[str, str], line: int, column: int, says: str) -> None:
    text = GOOD.replace(*wrong)
    message = problem(tmp_path, text)
    told = message.splitlines()
    place = f"{tmp_path / 'defs.yaml'}:{line}:{column}: "
    at = next(number for number, text in enumerate(told) if text.startswith(place) and says in text)
    source, caret = told[at + 1 : at + 3]
    assert source.strip() == text.splitlines()[line - 1].strip()
    assert caret.index("^") - 4 == column - 1


@pytest.mark.parametrize("text", ["", "- a", "type: 3", "type: x", "\tbad", "a: [", "type: a.b\nattributes: 1"])
def test_rubbish_is_refused_with_a_place(tmp_path: Path, text: str) -> None:
    assert "defs.yaml:" in problem(tmp_path, text)


def test_every_mistake_in_a_file_is_told(tmp_path: Path) -> None:
    message = problem(tmp_path, GOOD.replace("type: string", "type: a").replace('"decimal(12,3)"', "b"))
    assert message.count("is not a column type") == 2


def test_a_partners_time_zone_must_exist(tmp_path: Path) -> None:
    partner = "type: data_platform.components.SftpPartner\nattributes:\n  description: A\n  owners: []\n"
    assert "'Mars/Base' is not an IANA time zone" in problem(tmp_path, f"{partner}  time_zone: Mars/Base\n")


def test_a_broken_feed_raises_with_the_message(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text("attributes: {}")
    with pytest.raises(DefinitionInvalid, match="'pattern' is missing"):
        Document.read(path).attributes(FileFeedDeclaration)
