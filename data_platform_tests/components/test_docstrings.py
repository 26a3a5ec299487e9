"""Every YAML example that people read, in a component's docstring or on a page of docs/, is one that loads."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import pytest

import data_platform.components
from data_platform.components.defs_yaml import check_files

DOCS = Path(__file__).parents[2] / "docs"
_FENCED = re.compile(r"^```yaml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def _examples() -> list[tuple[str, str]]:
    found = []
    for name in data_platform.components.__all__:
        component = getattr(data_platform.components, name)
        text = inspect.getdoc(component) or ""
        found += [(name, match["text"]) for match in _FENCED.finditer(text)]
    for page in sorted(DOCS.glob("*.md")):
        text = textwrap.dedent(page.read_text(encoding="utf-8"))
        found += [(page.name, match["text"]) for match in _FENCED.finditer(text) if match["text"].startswith("type:")]
    return found


@pytest.mark.parametrize("name", data_platform.components.__all__)
def test_each_component_has_an_example(name: str) -> None:
    assert [text for where, text in _examples() if where == name]


@pytest.mark.parametrize(("where", "text"), _examples(), ids=[where for where, _ in _examples()])
def test_each_example_is_right(where: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "example" / "defs.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    ((_, problem),) = check_files([file])
    assert problem is None, problem


def test_the_pages_that_explain_components_have_examples() -> None:
    assert {"add-a-feed.md", "add-a-database.md", "add-a-web-api.md", "geocode.md", "partners.md", "contract.md"} <= {
        where for where, _ in _examples()
    }
