"""What docs/ and the README say is so: commands exist, links lead somewhere, tables are the code's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform.cli import COMMANDS, main
from data_platform.feeds.file_contract import FileColumn
from data_platform_tests import screenshots

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\((?P<target>[^)#:]+)\)")
_PATH = re.compile(r"`(?P<path>(?:data_platform|data_platform_tests|dbt_project|deploy|docs)/[\w/.\-]+)`")
_COMMAND = re.compile(r"\bdata-platform (?P<name>[a-z][a-z-]*)(?P<options>(?: +(?:--[a-z-]+|[a-z]+(?= |$)))*)")
_MESSAGE = re.compile(r"^\| (?P<quotes>`+)(?P<message>.+?)(?P=quotes) \|", re.MULTILINE)
_TYPE = re.compile(
    r"^\| `(?P<type>[a-z0-9]+)(?:\((?P<args>[a-z,]+)\))?`[^|]*"
    r"\| (?P<arrow>[^|]+) \| (?P<snowflake>[^|]+) \|$",
    re.MULTILINE,
)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in _LINK.finditer(text):
        assert (page.parent / link["target"]).exists(), link["target"]
    for path in _PATH.finditer(text):
        assert (ROOT / path["path"]).exists(), path["path"]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_commands_and_their_options_exist(page: Path) -> None:
    for match in _COMMAND.finditer(page.read_text(encoding="utf-8")):
        name = match["name"]
        assert name in COMMANDS, f"data-platform {name}"
        if name == "dbt":
            continue  # what follows is dbt's
        command = main.get_command(None, name)  # type: ignore[arg-type]
        for word in match["options"].split():
            commands = getattr(command, "commands", {})
            if word in commands:
                command = commands[word]
            elif word.startswith("--"):
                options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
                assert word in options, f"{match[0]}: {word}"


def test_the_table_of_types_is_the_contracts() -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    rows = list(_TYPE.finditer(page.split("## Types")[1].split("## ")[0].split("|---|---|---|")[1]))
    assert len(rows) == 14
    arguments = {"p,s": "12,3", "srid": "4326"}
    for row in rows:
        written = f"{row['type']}({arguments[row['args']]})" if row["args"] else row["type"]
        column = FileColumn(name="a", type=written)
        assert str(column.arrow_type) == row["arrow"].replace("(p, s)", "(12, 3)"), written
        assert column.snowflake_type == row["snowflake"].replace("(p,s)", "(12,3)"), written


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if line.startswith("make ")][:2] == ["make run", "make test"]


def _printed() -> Iterator[str]:
    """Every text of the code, with … where a value is filled in."""
    for path in (ROOT / "data_platform").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


def test_the_page_on_troubleshooting_quotes_messages_that_the_code_prints() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = [match["message"].replace("``", "`") for match in _MESSAGE.finditer(page)]
    assert len(messages) > 30
    printed = list(_printed())
    for message in messages:
        parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
        assert sum(map(len, parts)) > 10, message
        assert any(re.search(".*".join(parts), text, re.DOTALL) for text in printed), message


def test_pictures_are_small_and_each_is_on_a_page() -> None:
    pictures = {path.name: path.stat().st_size for path in screenshots.FOLDER.glob("*")}
    assert pictures.keys() == {f"{name}.png" for name in screenshots.PAGES}
    assert max(pictures.values()) <= screenshots.MOST_BYTES
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    assert {Path(target).name for target in _LINK.findall(tour) if target.endswith(".png")} == pictures.keys()
