"""The Dockerfile, held against what is here: what it names exists, what it brings is what is meant to be brought. It is
read, not built; `test_image_build` carries out its steps."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from data_platform_tests.deploy.dockerfile import (
    ROOT,
    Ignored,
    ancestry,
    command_of,
    context_files,
    expanded,
    healthcheck,
    image_environment,
    read_stages,
)

STAGES = read_stages()
IMAGE = list(STAGES)[-1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COPIES = [copy for stage in STAGES.values() for copy in stage.of("COPY") if "from" not in copy.flags]
SECRET = re.compile(r"password|passwd|secret|token|private|credential|api_?key|access_?key", re.IGNORECASE)


def pinned(file: str) -> dict[str, str]:
    """The packages of a requirements file that are for this machine's Python and system, and their versions."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    found = [Requirement(line) for line in re.findall(r"^([\w.\-]+(?:\[.*?\])?==.*?) \\$", text, re.M)]
    here = [one for one in found if one.marker is None or one.marker.evaluate()]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in here}


def named(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def required_by(package: str) -> set[str]:
    """The packages that one needs, without its extras."""
    requirements = [Requirement(text) for text in distribution(package).requires or ()]
    return named([str(one) for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})])


@pytest.mark.parametrize("source", sorted({word for copy in COPIES for word in copy.words[:-1]}))
def test_what_is_copied_exists_and_reaches_the_build(source: str) -> None:
    assert list(context_files(source, Ignored.read())), f"COPY {source} brings nothing"


def test_the_build_sees_nothing_but_what_is_copied() -> None:
    ignored = Ignored.read()
    wanted = [word for copy in COPIES for word in copy.words[:-1]]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    seen = [path for path in tracked if not ignored(path)]
    assert seen
    assert [path for path in seen if not any(path == one or path.startswith(f"{one}/") for one in wanted)] == []
    for path in (".env", "deploy/.env", ".git/config", ".local/cloud.env", "data_platform/x/__pycache__/y.pyc"):
        assert ignored(path), path


def test_every_stage_comes_from_an_earlier_one_or_a_pinned_image() -> None:
    for position, (name, stage) in enumerate(STAGES.items()):
        earlier = list(STAGES)[:position]
        assert stage.base in earlier or re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", stage.base)
        for copy in stage.of("COPY"):
            assert copy.flags.get("from", earlier[0] if earlier else "") in earlier, f"{name}: {copy.value}"


def test_every_install_is_of_hashed_packages_or_of_our_own_wheel() -> None:
    installs = [
        step
        for stage in STAGES.values()
        for run in stage.of("RUN")
        for step in re.split(r"&&|;", run.value)
        if re.search(r"\bpip\b.*\binstall\b", step)
    ]
    assert len(installs) == 4
    for step in installs:
        hashed = re.search(r"--require-hashes --no-deps .*-r /build/requirements/(\w+\.txt)$", step.strip())
        if hashed:
            text = (ROOT / "requirements" / hashed[1]).read_text(encoding="utf-8")
            assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(pinned(hashed[1])) > 0
        else:
            assert "--no-index --no-deps" in step
            assert step.strip().endswith("data_platform-*.whl")


def test_what_builds_the_wheel_is_what_the_project_names() -> None:
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]
    assert f"hatchling=={pinned('build.txt')['hatchling']}" in PROJECT["build-system"]["requires"]


def test_the_image_has_no_package_of_the_local_cloud_or_of_developers() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    needed = {name for package in pinned("base.txt") for name in required_by(package)}
    unwanted = (named(extras["local"]) | named(extras["dev"]) | named(extras["bench"])) - needed
    assert {"duckdb", "fakesnow", "ministack", "asyncssh", "pytest"} <= unwanted
    assert set(pinned("base.txt")) & unwanted == set()
    assert named(PROJECT["project"]["dependencies"]) <= set(pinned("base.txt"))
    installed = [word for stage in ancestry(STAGES, "packages") for run in stage.of("RUN") for word in run.words]
    assert "/build/requirements/base.txt" in installed
    assert "/build/requirements/local.txt" not in installed
    assert [copy.value for copy in STAGES[IMAGE].of("COPY")] == [
        "--from=packages /opt/venv /opt/venv",
        "--from=app /app /app",
    ]


@pytest.mark.parametrize("file", ["local.txt", "dev.txt"])
def test_the_image_runs_the_versions_that_are_tested(file: str) -> None:
    tested = pinned(file)
    assert {name: version for name, version in pinned("base.txt").items() if tested.get(name) != version} == {}


def test_it_runs_as_nobody_in_particular_and_writes_below_tmp() -> None:
    user = command_of(STAGES, IMAGE, "USER").value
    assert re.fullmatch(r"10001:10001", user)
    environment = image_environment(STAGES, IMAGE, {"PATH": "/usr/bin"})
    for variable in ("HOME", "DAGSTER_HOME", "DATA_PLATFORM_STATE_DIR"):
        assert Path(environment[variable]).is_relative_to("/tmp"), variable
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert command_of(STAGES, IMAGE, "VOLUME").words == ["/tmp"]


def test_no_secret_is_built_in() -> None:
    names = []
    for stage in STAGES.values():
        names += [argument.value.partition("=")[0] for argument in stage.of("ARG")]
        names += [name for env in stage.of("ENV") for name in env.assignments]
    assert names
    assert [name for name in names if SECRET.search(name)] == []


def test_every_program_that_is_started_exists() -> None:
    """Programs beside Python come from packages of base.txt; modules are there."""
    entrypoint = command_of(STAGES, IMAGE, "ENTRYPOINT").words
    command = command_of(STAGES, IMAGE, "CMD").words
    assert entrypoint[:3] == ["/usr/bin/tini", "-s", "--"]
    assert entrypoint[3:5] == ["python", "-m"]
    assert find_spec(entrypoint[5]) is not None
    for words in (command, healthcheck(STAGES, IMAGE)):
        assert_exists(words)


def assert_exists(words: Sequence[str]) -> None:
    """That a command line's program comes with base.txt. That it takes its options is seen in test_image_build.py."""
    assert words[0] in {"data-platform", *_scripts()}, words


@cache
def _scripts() -> set[str]:
    entries = (entry for name in pinned("base.txt") for entry in distribution(name).entry_points)
    return {entry.name for entry in entries if entry.group == "console_scripts"}


def test_the_port_that_is_served_is_the_one_that_is_checked() -> None:
    command = command_of(STAGES, IMAGE, "CMD").words
    check = healthcheck(STAGES, IMAGE)
    served = command[command.index("--port") + 1]
    assert check[check.index("--port") + 1] == served == command_of(STAGES, IMAGE, "EXPOSE").value


def test_sigterm_ends_it_and_tini_hands_it_on() -> None:
    assert command_of(STAGES, IMAGE, "STOPSIGNAL").value == "SIGTERM"
    run = " ".join(run.value for run in STAGES["runtime"].of("RUN"))
    for package in ("ca-certificates", "git", "openssh-client", "tini"):
        assert re.search(rf"install .*\b{package}\b", run), package


def test_labels_name_the_commit_that_the_build_was_given() -> None:
    labels = {name: value for label in STAGES[IMAGE].of("LABEL") for name, value in label.assignments.items()}
    assert expanded(labels["org.opencontainers.image.revision"], {"REVISION": "abc"}) == "abc"
    assert STAGES[IMAGE].of("ARG")[0].value == "REVISION=unknown"


def test_no_component_keeps_state_that_would_have_to_be_built_in() -> None:
    from dagster.components.component.state_backed_component import StateBackedComponent

    import data_platform.components as vocabulary

    for name in vocabulary.__all__:
        component = getattr(vocabulary, name)
        assert not (isinstance(component, type) and issubclass(component, StateBackedComponent)), name


@pytest.mark.parametrize(("path", "patterns"), list(product(["a/b/c.txt"], ["*", "a", "a/b", "**/c.txt", "a/*/c.???"])))
def test_ignore_patterns_mean_what_docker_says(path: str, patterns: str, tmp_path: Path) -> None:
    rules = tmp_path / ".dockerignore"
    rules.write_text(patterns, encoding="utf-8")
    assert Ignored.read(rules)(path)
    rules.write_text(f"{patterns}\n!a/b\n", encoding="utf-8")
    assert not Ignored.read(rules)(path)
    rules.write_text("b\nc.txt\n*/c.txt\n", encoding="utf-8")
    assert not Ignored.read(rules)(path)
