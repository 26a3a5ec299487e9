"""`make test-servers`, and its second try, with tests that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_platform_tests.server_suites import FLAKY, main

SUITE = ("-q",)
WORKERS = ("-p", "xdist.plugin", "-n", "1")
TIMEOUT = ("-p", "pytest_timeout")
FAILS_ONCE = "from pathlib import Path\n\ndef first(name):\n    mark = Path(name)\n    seen = mark.exists()\n"
FAILS_ONCE += "    mark.touch()\n    return not seen\n\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pytest.ini").write_text("[pytest]")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # their import takes most of a small session


def ran(capfd: pytest.CaptureFixture[str], *arguments: str, suite: Sequence[str] = SUITE, **modules: str) -> list[str]:
    """The last lines of a run over modules with these texts, behind its exit code."""
    for name, text in modules.items():
        Path(f"test_{name}.py").write_text(FAILS_ONCE + text)
    code = main(arguments, suite=suite)
    *_, out = capfd.readouterr().out.rpartition("Seconds by module")
    lines = [line for line in out.splitlines() if line.startswith(("E", "F", "==="))]
    return [str(code), *lines[:-1], lines[-1].partition(" in ")[0]]


MIXED = """
import pytest

def test_passes(): pass
def test_fails_once(): assert not first("call")
def test_fails_twice(): assert False
@pytest.fixture
def broken_once(): assert not first("setup")
def test_set_up_fails_once(broken_once): pass
@pytest.fixture
def left_over():
    yield
    assert not first("teardown")
def test_teardown_fails_once(left_over): pass
def test_skips_when_tried_again():
    if first("skip"): assert False
    pytest.skip("no more")
"""


def test_what_fails_once_is_flaky_and_what_does_not_pass_then_has_failed(capfd: pytest.CaptureFixture[str]) -> None:
    assert ran(capfd, "--second-try", one=MIXED) == [
        "1",
        "FAILED test_one.py::test_fails_twice",
        "FAILED test_one.py::test_skips_when_tried_again",
        "FLAKY test_one.py::test_fails_once",
        "FLAKY test_one.py::test_set_up_fails_once",
        "FLAKY test_one.py::test_teardown_fails_once",
        "=== 2 failed, 4 passed, 3 flaky",
    ]
    assert FLAKY.read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--second-try"], ["0", "FLAKY test_one.py::test_fails_once", "=== 1 passed, 1 flaky"]),
        ([], ["1", "FAILED test_one.py::test_fails_once", "=== 1 failed"]),
    ],
)
def test_flaky_tests_do_not_fail_a_run_that_tries_twice(
    capfd: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    text = "def test_fails_once(): assert not first('call')"
    assert ran(capfd, *arguments, one=text) == expected


ENDS_IT = "import os\ndef test_passes(): pass\ndef test_ends_it(): os._exit(0)\ndef test_next(): pass"
HANGS = "import pytest, time\n@pytest.mark.timeout(0.2, method='thread')\ndef test_hangs(): time.sleep(60)"


@pytest.mark.parametrize(
    ("suite", "text", "line"),
    [
        (SUITE, "import nothing", "ERROR not collected: test_one.py"),
        (SUITE, ENDS_IT, "ERROR 2 did not finish, the first: test_one.py::test_ends_it"),
        (TIMEOUT, HANGS, "ERROR 1 did not finish, the first: test_one.py::test_hangs"),
        (WORKERS, ENDS_IT, "FAILED test_one.py::test_ends_it"),
    ],
    ids=["not collected", "session ends early", "hangs for good", "ends its worker each time"],
)
def test_a_session_that_does_not_finish_all_tests_fails_the_run(
    capfd: pytest.CaptureFixture[str], suite: Sequence[str], text: str, line: str
) -> None:
    code, *lines = ran(capfd, "--second-try", suite=suite, one=text)
    assert code == "1"
    assert line in lines


def test_a_suite_that_runs_no_test_fails_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    text = "import pytest\ndef test_passes(): pass\ndef test_skips(): pytest.skip()"
    assert ran(capfd, suite=("-k", "skips"), one=text) == ["1", "ERROR no test ran", "=== 1 skipped, 1 errors"]


def test_arguments_select_tests(capfd: pytest.CaptureFixture[str]) -> None:
    text = "def test_this(): pass\ndef test_other(): pass"
    assert ran(capfd, "-k", "this", one=text) == ["0", "=== 1 passed"]


def test_the_last_lines_say_why_each_test_failed(capfd: pytest.CaptureFixture[str]) -> None:
    Path("test_one.py").write_text(f"{FAILS_ONCE}def test_fails(): assert False, f\"at first: {{first('a')}}\"")
    main(["--second-try"], suite=SUITE)
    *_, last = capfd.readouterr().out.partition("FAILED test_one.py::test_fails\n")
    assert [line for line in last.splitlines() if "at first" in line] == [
        "  try 1: AssertionError: at first: True",
        "  try 2: AssertionError: at first: False",
    ]
