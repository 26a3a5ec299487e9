"""What a commit must pass: packages that are installed, and its own check."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from data_platform.code.tree import INSTALLED, TreeUnusable, excerpt
from data_platform.code.validate import check_packages


def tree(folder: Path, requirements: str) -> Path:
    (folder / "requirements").mkdir()
    (folder / "requirements" / "base.txt").write_text(requirements)
    return folder


def test_this_codes_own_packages_are_installed() -> None:
    check_packages(INSTALLED)


def test_code_without_a_list_of_packages_brings_none(tmp_path: Path) -> None:
    check_packages(tmp_path)


def test_the_same_packages_pass_however_they_are_written(tmp_path: Path) -> None:
    lines = [
        "# comment",
        f"dagster=={version('dagster')} \\",
        "    --hash=sha256:00 \\",
        "    --hash=sha256:01",
        "    # via data-platform",
        f'pydantic[email]=={version("pydantic")} ; python_version >= "3.11"',
        'pywin32==1 ; sys_platform == "win32"',
    ]
    check_packages(tree(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dagster==0.0.1", rf"dagster==0\.0\.1 \(installed: {version('dagster')}\)"),
        ("a-package-of-nobody==1.0", "not installed"),
        ("not a requirement !", "not a requirement"),
    ],
)
def test_another_package_needs_another_image(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(TreeUnusable, match=rf"(?s)packages that the image does not have: build a new image.*{why}"):
        check_packages(tree(tmp_path, line + "\n"))


def test_a_list_that_cannot_be_read_is_the_commits_fault(tmp_path: Path) -> None:
    (tree(tmp_path, "") / "requirements" / "base.txt").write_bytes(b"click==8 # \xe9\n")
    with pytest.raises(TreeUnusable, match="can't be read"):
        check_packages(tmp_path)


def test_of_a_chain_of_exceptions_the_first_is_shown() -> None:
    text = (
        "Traceback:\n  File 'defs.py'\nSyntaxError: here\n\n"
        "The above exception was the direct cause of the following exception:\n" + "frame\n" * 50
    )
    assert excerpt(text).endswith("SyntaxError: here")


def test_of_much_output_the_end_is_shown() -> None:
    assert excerpt("\n".join(str(number) for number in range(100)), 2) == "(98 lines before)\n98\n99"
